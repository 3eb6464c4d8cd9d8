import { expect, test } from 'vitest'
import { initialState, RECONCILE_MS, SILENCE_MS, SNAPSHOT_RETRY_MS, step, type FeedEffect, type FeedInput, type FeedState } from '@/shared/feed/machine'

function run(...inputs: FeedInput[]): { state: FeedState; effects: FeedEffect[][] } {
  let state = initialState
  const effects: FeedEffect[][] = []
  for (const input of inputs) {
    const next = step(state, input)
    state = next.state
    effects.push([...next.effects])
  }
  return { state, effects }
}
const live: FeedInput[] = [
  { type: 'start', at: 0 },
  { type: 'beat', at: 100, epoch: 1, head: 5 },
  { type: 'snapshot', at: 200, epoch: 1, seq: 5 },
]

test('live is claimed only after both a byte and a snapshot', () => {
  expect(run(...live.slice(0, 2)).state.phase).toBe('connecting')
  expect(run(live[0]!, live[2]!).state.phase).toBe('connecting')
  expect(run(...live).state.phase).toBe('live')
  expect(run(...live).effects).toEqual([['open', 'fetch_snapshot'], [], []])
})

test('silence of three beats is stale, closes, reopens, and asks whether the session still stands', () => {
  const { state, effects } = run(...live, { type: 'tick', at: 100 + SILENCE_MS }, { type: 'tick', at: 101 + SILENCE_MS })
  expect(state.phase).toBe('stale')
  expect(effects.slice(3)).toEqual([[], ['close', 'open', 'probe_session']])
})

test('a stale feed stays stale until bytes and a fresh snapshot are back', () => {
  const at = 101 + SILENCE_MS
  const gone: FeedInput[] = [...live, { type: 'tick', at }]
  expect(run(...gone, { type: 'tick', at: at + 10 }).effects.at(-1)).toEqual(['fetch_snapshot'])
  expect(run(...gone, { type: 'snapshot', at: at + 20, epoch: 1, seq: 6 }).state.phase).toBe('stale')
  expect(run(...gone, { type: 'tick', at: at + 10 }, { type: 'beat', at: at + 30, epoch: 1, head: 6 }).state.phase).toBe('stale')
  expect(run(...gone, { type: 'tick', at: at + 10 }, { type: 'beat', at: at + 30, epoch: 1, head: 6 }, { type: 'snapshot', at: at + 40, epoch: 1, seq: 6 }).state.phase).toBe('live')
})

test('a black hole is reopened again and again', () => {
  const first = 101 + SILENCE_MS
  const { effects } = run(...live, { type: 'tick', at: first }, { type: 'tick', at: first + SILENCE_MS + 1 })
  expect(effects.at(-1)).toContain('open')
})

test('one beat ahead may be a race, two mean that something was missed', () => {
  const once = run(...live, { type: 'beat', at: 300, epoch: 1, head: 6 })
  expect(once.effects.at(-1)).toEqual([])
  const twice = run(...live, { type: 'beat', at: 300, epoch: 1, head: 6 }, { type: 'beat', at: 400, epoch: 1, head: 6 })
  expect(twice.effects.at(-1)).toEqual(['fetch_snapshot'])
  const caught = run(...live, { type: 'beat', at: 300, epoch: 1, head: 6 }, { type: 'entry', at: 350, epoch: 1, seq: 6 }, { type: 'beat', at: 400, epoch: 1, head: 6 })
  expect(caught.effects.at(-1)).toEqual([])
})

test.each<FeedInput>([
  { type: 'resync', at: 300 },
  { type: 'entry', at: 300, epoch: 2, seq: 1 },
  { type: 'beat', at: 300, epoch: 2, head: 1 },
])('another journal or a resync is settled by a snapshot (%o)', (input) => {
  expect(run(...live, input).effects.at(-1)).toEqual(['fetch_snapshot'])
})

test('after a resync the number starts from the snapshot, also when it is lower', () => {
  expect(run(...live, { type: 'resync', at: 300 }, { type: 'snapshot', at: 400, epoch: 1, seq: 2 }).state.seq).toBe(2)
})

test('an old snapshot never takes the number back', () => {
  expect(run(...live, { type: 'entry', at: 300, epoch: 1, seq: 9 }, { type: 'snapshot', at: 400, epoch: 1, seq: 7 }).state.seq).toBe(9)
})

test('a failed snapshot is tried again, one at a time', () => {
  const failed: FeedInput[] = [{ type: 'start', at: 0 }, { type: 'tick', at: 10 }, { type: 'snapshot_failed', at: 20 }]
  expect(run(...failed).effects).toEqual([['open', 'fetch_snapshot'], [], []])
  expect(run(...failed, { type: 'tick', at: 30 }).effects.at(-1)).toEqual([])
  expect(run(...failed, { type: 'tick', at: 20 + SNAPSHOT_RETRY_MS }).effects.at(-1)).toEqual(['fetch_snapshot'])
})

test('once a minute everything is compared, without leaving live', () => {
  const at = 201 + RECONCILE_MS
  const { state, effects } = run(...live, { type: 'beat', at: at - 10, epoch: 1, head: 5 }, { type: 'tick', at })
  expect(effects.at(-1)).toEqual(['fetch_snapshot'])
  expect(state.phase).toBe('live')
})

test('a refusal is retried with growing waits', () => {
  const { state, effects } = run(...live, { type: 'refused', at: 1_000 }, { type: 'tick', at: 1_500 }, { type: 'tick', at: 2_000 }, { type: 'refused', at: 2_100 })
  expect(effects.slice(3)).toEqual([['close', 'probe_session'], [], ['open', 'fetch_snapshot'], ['close', 'probe_session']])
  expect(state.retryAt).toBe(4_100)
})

test('an ended session stops asking until somebody signs in', () => {
  const ended: FeedInput[] = [...live, { type: 'signed_out', at: 300 }]
  expect(run(...ended).effects.at(-1)).toEqual(['close'])
  const { state, effects } = run(...ended, { type: 'tick', at: 90_000 })
  expect(state.phase).toBe('expired')
  expect(effects.at(-1)).toEqual([])
  expect(run(...ended, { type: 'signed_in', at: 400 }).effects.at(-1)).toEqual(['open', 'fetch_snapshot'])
})

test('while a check of the list fails it is not called live, and the next one makes it so again', () => {
  const failing: FeedInput[] = [...live, { type: 'resync', at: 300 }, { type: 'snapshot_failed', at: 400 }]
  expect(run(...failing).state.phase).toBe('connecting')
  expect(run(...failing, { type: 'beat', at: 500, epoch: 1, head: 9 }).state.phase).toBe('connecting')
  const again: FeedInput[] = [...failing, { type: 'tick', at: 400 + SNAPSHOT_RETRY_MS }, { type: 'beat', at: 2_500, epoch: 1, head: 9 }]
  expect(run(...again, { type: 'snapshot', at: 2_600, epoch: 1, seq: 9 }).state.phase).toBe('live')
})
