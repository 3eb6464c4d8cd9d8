/** What kind of number a metric is: a measured value, an output's state, or a word of bits. Pure. */
import type { Metric } from '@/shared/api/types'

const OUTPUTS = new Set(['valve_open', 'sounder_on'])

/** The bits of GB/T 26875.3 (8.2.1), lowest first; bit 0 set means normal operation and is told only when it is alone or missing. */
const COMPONENT = ['run', 'fire', 'fault', 'shield', 'watch', 'start', 'back', 'delay', 'power'] as const
const WORDS = {
  component_state: COMPONENT,
  system_state: [...COMPONENT, 'standby', 'bus'],
  status_word: ['run', 'fire', 'fault', 'power', 'standby', 'uplink', 'line'],
} as const
export type Bit = (typeof WORDS)[keyof typeof WORDS][number] | 'idle'

export const isOutput = (metric: string): boolean => OUTPUTS.has(metric)
export const isState = (metric: string): boolean => metric in WORDS

/** The metrics worth a curve. */
export const charted = (metrics: readonly Metric[]): Metric[] => metrics.filter((one) => !isOutput(one.metric) && !isState(one.metric))

/** What a word of bits says; `run` alone when all is well. */
export function bitsOf(metric: string, value: number): Bit[] {
  const names: readonly Bit[] = WORDS[metric as keyof typeof WORDS] ?? []
  const set = names.filter((_, index) => index > 0 && Math.floor(value / 2 ** index) % 2 === 1)
  if (set.length) return set
  return [value % 2 === 1 ? 'run' : 'idle']
}

/** Whether an output stands as it does only in an emergency: the valve shut, the sounder on. */
export const isOutputActing = (metric: string, value: number): boolean => (metric === 'valve_open' ? value < 0.5 : value >= 0.5)
