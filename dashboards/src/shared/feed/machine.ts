/** What the feed does about each thing that happens to its connection: a pure state machine, no clock and no network.
 *
 * The stream alone proves nothing: a black-holed socket stays "open" without an error, and a restarted server may count
 * from another journal. So bytes are watched, beats carry the head, and a snapshot settles every doubt.
 */

export const BEAT_MS = 2_000
export const SILENCE_MS = 3 * BEAT_MS
export const RECONCILE_MS = 60_000
export const SNAPSHOT_RETRY_MS = 2_000
const RETRY_MAX_MS = 8_000

/** `live` is claimed only while bytes arrive and the list is known to be complete. */
export type Phase = 'connecting' | 'live' | 'stale' | 'expired'

export interface FeedState {
  readonly phase: Phase
  readonly epoch: number | null
  /** The newest change taken in. */
  readonly seq: number
  /** The newest change the server has told of. */
  readonly head: number
  /** Monotonic ms of the newest byte; null before the first. */
  readonly byteAt: number | null
  readonly openedAt: number | null
  readonly retryAt: number | null
  readonly attempt: number
  readonly needsSnapshot: boolean
  readonly isFetching: boolean
  readonly snapshotAt: number | null
  readonly snapshotRetryAt: number
  /** Beats in a row whose head was ahead of us. */
  readonly behind: number
}

export type FeedInput =
  | { type: 'start'; at: number }
  | { type: 'tick'; at: number }
  | { type: 'entry'; at: number; epoch: number; seq: number }
  | { type: 'beat'; at: number; epoch: number; head: number }
  | { type: 'resync'; at: number }
  | { type: 'refused'; at: number }
  | { type: 'signed_out'; at: number }
  | { type: 'signed_in'; at: number }
  | { type: 'snapshot'; at: number; epoch: number; seq: number }
  | { type: 'snapshot_failed'; at: number }

export type FeedEffect = 'open' | 'close' | 'fetch_snapshot' | 'probe_session'

export interface Step {
  readonly state: FeedState
  readonly effects: readonly FeedEffect[]
}

export const initialState: FeedState = {
  phase: 'connecting',
  epoch: null,
  seq: 0,
  head: 0,
  byteAt: null,
  openedAt: null,
  retryAt: null,
  attempt: 0,
  needsSnapshot: true,
  isFetching: false,
  snapshotAt: null,
  snapshotRetryAt: 0,
  behind: 0,
}

/** Give the next state and what must be done for it, in order; `silenceMs` without a byte and the list counts as last known. */
export function step(state: FeedState, input: FeedInput, silenceMs = SILENCE_MS): Step {
  switch (input.type) {
    case 'start':
    case 'signed_in':
      return settle(reopened({ ...state, phase: 'connecting' }, input.at), ['open'], input.at)
    case 'tick':
      return state.phase === 'expired' ? { state, effects: [] } : tick(state, input.at, silenceMs)
    case 'entry':
      return entry(state, input.at, input.epoch, input.seq)
    case 'beat':
      return beat(state, input.at, input.epoch, input.head)
    case 'resync':
      return settle(heard({ ...state, seq: 0, needsSnapshot: true }, input.at), [], input.at)
    case 'refused':
      return refused(state, input.at)
    case 'signed_out':
      return { state: { ...state, phase: 'expired', openedAt: null, retryAt: null, isFetching: false }, effects: ['close'] }
    case 'snapshot':
      return snapshot(state, input.at, input.epoch, input.seq)
    case 'snapshot_failed':
      return {
        // The stream may go on, but nobody knows any more whether the list is whole.
        state: { ...state, phase: state.phase === 'live' ? 'connecting' : state.phase, isFetching: false, needsSnapshot: true, snapshotRetryAt: input.at + SNAPSHOT_RETRY_MS },
        effects: [],
      }
  }
}

function tick(state: FeedState, at: number, silenceMs: number): Step {
  if (state.retryAt !== null && at >= state.retryAt) {
    return settle(reopened(state, at), ['open'], at)
  }
  const heardAt = Math.max(state.byteAt ?? 0, state.openedAt ?? 0)
  if (state.openedAt !== null && at - heardAt > silenceMs) {
    const next = reopened({ ...state, phase: 'stale' }, at)
    return { state: next, effects: ['close', 'open', 'probe_session'] }
  }
  const isDue = state.snapshotAt !== null && at - state.snapshotAt > RECONCILE_MS
  return settle(isDue ? { ...state, needsSnapshot: true } : state, [], at)
}

function entry(state: FeedState, at: number, epoch: number, seq: number): Step {
  if (epoch !== state.epoch) return settle(heard({ ...state, needsSnapshot: true }, at), [], at)
  return settle(heard({ ...state, seq: Math.max(state.seq, seq) }, at), [], at)
}

function beat(state: FeedState, at: number, epoch: number, head: number): Step {
  const isOther = state.epoch !== null && epoch !== state.epoch
  const behind = head > state.seq ? state.behind + 1 : 0
  const needsSnapshot = state.needsSnapshot || isOther || behind >= 2
  return settle(heard({ ...state, head, behind, needsSnapshot }, at), [], at)
}

function refused(state: FeedState, at: number): Step {
  const wait = Math.min(RETRY_MAX_MS, 1_000 * 2 ** state.attempt)
  const next: FeedState = { ...state, phase: 'stale', openedAt: null, retryAt: at + wait, attempt: state.attempt + 1 }
  return { state: next, effects: ['close', 'probe_session'] }
}

function snapshot(state: FeedState, at: number, epoch: number, seq: number): Step {
  const isSame = epoch === state.epoch
  const next: FeedState = {
    ...state,
    epoch,
    seq: isSame ? Math.max(state.seq, seq) : seq,
    isFetching: false,
    needsSnapshot: false,
    snapshotAt: at,
    behind: 0,
  }
  return { state: withPhase(next, at), effects: [] }
}

function reopened(state: FeedState, at: number): FeedState {
  return { ...state, openedAt: at, retryAt: null, needsSnapshot: true, snapshotRetryAt: 0, isFetching: false }
}

function heard(state: FeedState, at: number): FeedState {
  return { ...state, byteAt: at, attempt: 0 }
}

/** Fetch what is needed, once at a time, and claim `live` only when it is true. */
function settle(state: FeedState, effects: FeedEffect[], at: number): Step {
  const mayFetch = state.needsSnapshot && !state.isFetching && at >= state.snapshotRetryAt
  const next = mayFetch ? { ...state, isFetching: true } : state
  const all: FeedEffect[] = mayFetch ? [...effects, 'fetch_snapshot'] : effects
  return { state: withPhase(next, at), effects: all }
}

function withPhase(state: FeedState, at: number): FeedState {
  if (state.phase === 'expired' || state.needsSnapshot || state.byteAt === null || state.openedAt === null) return state
  const isHearing = state.byteAt >= state.openedAt && at - state.byteAt <= SILENCE_MS
  return isHearing ? { ...state, phase: 'live' } : state
}
