/** Loops the tone of the most urgent waiting alert until somebody acknowledges, mutes it for a minute, or the page closes. */
import type { Priority } from '@/shared/api/types'
import { LOST, PATTERNS, type Pattern } from './tones'

export type SoundState = 'blocked' | 'ready' | 'unavailable'

export interface SirenPorts {
  makeContext(): AudioContext
  /** Monotonic ms. */
  now(): number
}

const VOLUME = 0.28

export class Siren {
  private context: AudioContext | null = null
  private timer: ReturnType<typeof setInterval> | null = null
  private playing: Pattern | null = null
  private priority: Priority | null = null
  private isLost = false
  private isAllowed = true
  private mutedUntil = 0
  private unmuteTimer: ReturnType<typeof setTimeout> | null = null
  private isBroken = false
  private output: GainNode | null = null

  constructor(private readonly ports: SirenPorts) {}

  /** Browsers hold sound back until a person has touched the page: `blocked` must be shown, never hidden. */
  get state(): SoundState {
    if (this.isBroken) return 'unavailable'
    return this.context?.state === 'running' ? 'ready' : 'blocked'
  }

  get isMuted(): boolean {
    return this.mutedUntil > this.ports.now()
  }

  /** Seconds of silence left, 0 when not muted. */
  get mutedFor(): number {
    return Math.max(0, Math.ceil((this.mutedUntil - this.ports.now()) / 1000))
  }

  get isSounding(): boolean {
    return this.playing !== null && this.state === 'ready'
  }

  /** Call from a click or key; gives the state afterwards. */
  async arm(): Promise<SoundState> {
    try {
      this.context ??= this.ports.makeContext()
      if (this.context.state !== 'running') {
        await this.context.resume()
        if (this.playing) this.play(this.playing)
      }
    } catch {
      this.isBroken = true
    }
    this.choose()
    return this.state
  }

  /** Say what waits; a more urgent one than before ends a mute, so that it cannot hide a new fire. */
  require(priority: Priority | null, isNew: boolean): void {
    const isWorse = priority !== null && (this.priority === null || priority < this.priority)
    if (isWorse || (isNew && priority === 1)) this.mutedUntil = 0
    this.priority = priority
    this.choose()
  }

  /** Whether this window is the one that sounds; its self-test is heard all the same. */
  allow(isAllowed: boolean): void {
    if (this.isAllowed === isAllowed) return
    this.isAllowed = isAllowed
    this.choose()
  }

  lost(isLost: boolean): void {
    this.isLost = isLost
    this.choose()
  }

  mute(seconds: number): void {
    this.mutedUntil = this.ports.now() + seconds * 1000
    if (this.unmuteTimer) clearTimeout(this.unmuteTimer)
    this.unmuteTimer = setTimeout(() => this.choose(), seconds * 1000 + 20)
    this.choose()
  }

  unmute(): void {
    this.mutedUntil = 0
    this.choose()
  }

  /** Sound one pattern once, for the shift's self-test. */
  test(priority: 1 | 2 | 3): void {
    this.play(PATTERNS[priority])
  }

  stop(): void {
    if (this.unmuteTimer) clearTimeout(this.unmuteTimer)
    this.loop(null)
  }

  private choose(): void {
    if (this.isMuted || !this.isAllowed) return this.loop(null)
    const waiting = this.priority !== null && this.priority < 4 ? PATTERNS[this.priority as 1 | 2 | 3] : null
    this.loop(waiting ?? (this.isLost ? LOST : null))
  }

  private loop(pattern: Pattern | null): void {
    if (pattern === this.playing && (pattern === null) === (this.timer === null)) return
    if (this.timer) clearInterval(this.timer)
    this.timer = null
    this.playing = pattern
    // What is already scheduled must fall silent at once: a tone after the acknowledgement reads as a second alarm.
    this.output?.disconnect()
    this.output = null
    if (!pattern) return
    this.play(pattern)
    this.timer = setInterval(() => this.play(pattern), pattern.period * 1000)
  }

  private play(pattern: Pattern): void {
    const context = this.context
    if (!context || context.state !== 'running') return
    this.output ??= context.createGain()
    this.output.connect(context.destination)
    const output = this.output
    for (const beep of pattern.beeps) {
      const start = context.currentTime + 0.02 + beep.at
      const tone = context.createOscillator()
      const gain = context.createGain()
      tone.frequency.value = beep.hertz
      tone.type = 'triangle'
      // Soft edges: a hard start clicks and tires the ear.
      gain.gain.setValueAtTime(0, start)
      gain.gain.linearRampToValueAtTime(VOLUME, start + 0.015)
      gain.gain.setValueAtTime(VOLUME, start + beep.seconds - 0.03)
      gain.gain.linearRampToValueAtTime(0, start + beep.seconds)
      tone.connect(gain)
      gain.connect(output)
      tone.start(start)
      tone.stop(start + beep.seconds + 0.01)
    }
  }
}
