/** Of all windows of one browser only one sounds: the one that holds a lock, which the browser hands on when it goes. */

const LOCK = 'linli.siren'

export interface SpeakerPorts {
  /** Undefined where the browser has none (plain HTTP in a local network): then every window sounds, which is the safe side. */
  readonly locks: Pick<LockManager, 'request' | 'query'> | undefined
  onChange(): void
}

export class Speaker {
  private release: (() => void) | null = null
  private asking: AbortController | null = null

  constructor(private readonly ports: SpeakerPorts) {}

  /** Whether this window may sound. */
  get isMine(): boolean {
    return this.ports.locks === undefined || this.release !== null
  }

  /** Say whether this window can and should sound; one that cannot gives the lock to one that can. */
  want(isWanted: boolean): void {
    if (isWanted) this.ask()
    else this.leave()
  }

  /** Tell whether some window of this browser sounds. */
  async isTaken(): Promise<boolean> {
    if (!this.ports.locks) return false
    const { held } = await this.ports.locks.query()
    return held?.some((lock) => lock.name === LOCK) ?? false
  }

  private ask(): void {
    if (!this.ports.locks || this.release || this.asking) return
    const asking = new AbortController()
    this.asking = asking
    const held = (): Promise<void> =>
      new Promise((resolve) => {
        this.asking = null
        this.release = resolve
        this.ports.onChange()
      })
    // An aborted request rejects; that is this window changing its mind, not a mistake.
    this.ports.locks.request(LOCK, { signal: asking.signal }, held).catch(() => undefined)
  }

  private leave(): void {
    this.asking?.abort()
    this.asking = null
    const release = this.release
    this.release = null
    release?.()
    if (release) this.ports.onChange()
  }
}
