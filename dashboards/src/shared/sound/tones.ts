/** What each priority sounds like: shorter gaps and higher pitch for what is more urgent (after IEC 60601-1-8). */
import type { Priority } from '@/shared/api/types'

export interface Beep {
  /** Seconds after the start of the pattern. */
  readonly at: number
  readonly hertz: number
  readonly seconds: number
}

export interface Pattern {
  readonly beeps: readonly Beep[]
  /** Seconds from one start to the next. */
  readonly period: number
}

const burst = (hertz: readonly number[], gap: number, seconds: number): Beep[] =>
  hertz.map((pitch, index) => ({ at: index * gap, hertz: pitch, seconds }))

/** P4 makes no sound: information waits until somebody looks. */
export const PATTERNS: Record<Exclude<Priority, 4>, Pattern> = {
  1: { beeps: burst([988, 784, 988, 784, 988, 784], 0.2, 0.17), period: 1.8 },
  2: { beeps: burst([659, 659, 523], 0.28, 0.2), period: 4 },
  3: { beeps: burst([523], 0.3, 0.25), period: 20 },
}

/** Two falling tones: the connection to the alerts is gone. */
export const LOST: Pattern = { beeps: burst([440, 330], 0.35, 0.3), period: 15 }
