import { expect, test } from 'vitest'
import type { Metric } from '@/shared/api/types'
import { bitsOf, charted, isOutputActing } from '@/shared/ui/metrics'

const metric = (name: string): Metric => ({ metric: name }) as Metric

test('only measured values have a curve', () => {
  expect(charted(['gas_lel_pct', 'valve_open', 'sounder_on', 'component_state', 'status_word'].map(metric)).map((one) => one.metric)).toEqual(['gas_lel_pct'])
})

test('a word of bits is told in words: calm alone, or all that is wrong', () => {
  expect(bitsOf('component_state', 1)).toEqual(['run'])
  expect(bitsOf('component_state', 0)).toEqual(['idle'])
  expect(bitsOf('component_state', 0b111)).toEqual(['fire', 'fault'])
  expect(bitsOf('status_word', 0b1001001)).toEqual(['power', 'line'])
})

test('a shut valve and a sounding sounder are what an emergency looks like', () => {
  expect([isOutputActing('valve_open', 0), isOutputActing('valve_open', 1), isOutputActing('sounder_on', 1), isOutputActing('sounder_on', 0)]).toEqual([true, false, true, false])
})
