/** Carries out what the feed's state machine decides: opens the stream, watches it, fetches snapshots, sends receipts. */
import { ApiError } from '@/shared/api/client'
import { normalAlert } from '@/shared/api/normal'
import type { Alert, AlertPage, RawAlert } from '@/shared/api/types'
import { initialState, step, type FeedInput, type FeedState } from './machine'

/** What the feed needs from outside; times are monotonic milliseconds. */
export interface FeedPorts {
  now(): number
  openStream(url: string): EventSource
  fetchSnapshot(): Promise<AlertPage>
  isSignedIn(): Promise<boolean>
  sendDisplayed(epoch: number, seq: number): Promise<void>
  onAlert(alert: Alert): void
  onSnapshot(page: AlertPage): void
  onNotice(kind: 'device' | 'edge', body: unknown): void
  onServerTime(now: number): void
  onState(state: FeedState): void
  /** After how long without a byte the list is no longer claimed to be true; ms. */
  readonly silenceMs: number
}

const TICK_MS = 500
const RECEIPT_MS = 1_000

export class FeedClient {
  private state: FeedState = initialState
  private stream: EventSource | null = null
  private timer: ReturnType<typeof setInterval> | null = null
  private receiptTimer: ReturnType<typeof setTimeout> | null = null
  private shownSeq = 0
  private sentSeq = 0

  constructor(private readonly ports: FeedPorts) {}

  start(): void {
    this.timer ??= setInterval(() => this.feed({ type: 'tick', at: this.ports.now() }), TICK_MS)
    this.feed({ type: 'start', at: this.ports.now() })
  }

  stop(): void {
    if (this.timer) clearInterval(this.timer)
    if (this.receiptTimer) clearTimeout(this.receiptTimer)
    this.timer = this.receiptTimer = null
    this.closeStream()
  }

  signedIn(): void {
    this.feed({ type: 'signed_in', at: this.ports.now() })
  }

  signedOut(): void {
    this.feed({ type: 'signed_out', at: this.ports.now() })
  }

  /** Tell that everything up to `seq` has been painted; told to the server at most once a second. */
  displayed(seq: number): void {
    this.shownSeq = Math.max(this.shownSeq, seq)
    if (this.receiptTimer || this.shownSeq <= this.sentSeq) return
    void this.sendReceipt()
    this.receiptTimer = setTimeout(() => {
      this.receiptTimer = null
      this.displayed(this.shownSeq)
    }, RECEIPT_MS)
  }

  private async sendReceipt(): Promise<void> {
    const seq = this.shownSeq
    const epoch = this.state.epoch
    if (epoch === null) return
    const before = this.sentSeq
    this.sentSeq = seq
    try {
      await this.ports.sendDisplayed(epoch, seq)
    } catch (error) {
      // A receipt that did not arrive is sent again with the next second's; without one the server escalates by phone.
      if (this.sentSeq === seq) this.sentSeq = before
      if (error instanceof ApiError && error.status === 401) this.signedOut()
    }
  }

  private feed(input: FeedInput): void {
    const { state, effects } = step(this.state, input, this.ports.silenceMs)
    this.state = state
    for (const effect of effects) {
      if (effect === 'open') this.openStream()
      else if (effect === 'close') this.closeStream()
      else if (effect === 'fetch_snapshot') void this.fetchSnapshot()
      else void this.probe()
    }
    this.ports.onState(this.state)
  }

  private openStream(): void {
    this.closeStream()
    const { epoch, seq } = this.state
    const url = epoch === null ? '/api/feed' : `/api/feed?after=${epoch}.${seq}`
    const stream = this.ports.openStream(url)
    this.stream = stream
    const listen = (name: string, act: (event: MessageEvent<string>) => void): void =>
      stream.addEventListener(name, (event) => {
        if (this.stream === stream) act(event as MessageEvent<string>)
      })
    listen('alert', (event) => this.onEntry(event, (body) => this.ports.onAlert(normalAlert(body as RawAlert))))
    listen('device', (event) => this.onEntry(event, (body) => this.ports.onNotice('device', body)))
    listen('edge', (event) => this.onEntry(event, (body) => this.ports.onNotice('edge', body)))
    listen('unseen', (event) => this.onEntry(event, () => undefined))
    listen('end', () => void this.probe())
    listen('resync', () => this.feed({ type: 'resync', at: this.ports.now() }))
    listen('beat', (event) => this.onBeat(event))
    stream.onerror = () => {
      // While the browser retries by itself readyState is CONNECTING; CLOSED means the server refused for good.
      if (this.stream === stream && stream.readyState === 2) this.feed({ type: 'refused', at: this.ports.now() })
    }
  }

  private onEntry(event: MessageEvent<string>, apply: (body: unknown) => void): void {
    const [epoch, seq] = event.lastEventId.split('.').map(Number)
    if (epoch === undefined || seq === undefined || Number.isNaN(seq)) return
    if (epoch === this.state.epoch) apply(JSON.parse(event.data))
    this.feed({ type: 'entry', at: this.ports.now(), epoch, seq })
  }

  private onBeat(event: MessageEvent<string>): void {
    const beat = JSON.parse(event.data) as { head: number; epoch: number; now: number }
    this.ports.onServerTime(beat.now)
    this.feed({ type: 'beat', at: this.ports.now(), epoch: beat.epoch, head: beat.head })
  }

  private closeStream(): void {
    this.stream?.close()
    this.stream = null
  }

  private async fetchSnapshot(): Promise<void> {
    try {
      const page = await this.ports.fetchSnapshot()
      this.ports.onSnapshot(page)
      this.feed({ type: 'snapshot', at: this.ports.now(), epoch: page.epoch, seq: page.seq })
    } catch (error) {
      this.feed({ type: 'snapshot_failed', at: this.ports.now() })
      if (error instanceof ApiError && error.status === 401) this.signedOut()
    }
  }

  private async probe(): Promise<void> {
    if (!(await this.ports.isSignedIn())) this.signedOut()
  }
}
