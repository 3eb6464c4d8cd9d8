import type { Alert } from '@/shared/api/types'

/** An alert of the tests: a new smoke alarm, changed as asked. */
export function alert(change: Partial<Alert> & { id: string }): Alert {
  return {
    seq: 1, rule: 'smoke', priority: 1, title_zh: '烟感火警', title_en: 'Smoke detector: fire', device: 'shuibei-smoke-001', device_kind: 'smoke',
    device_name: '老王川菜馆 厨房', place: 'b01/f01/r101', place_name_zh: '水贝一街1号 1层 老王川菜馆', place_name_en: 'Lao Wang Sichuan Kitchen, F1',
    x: 122, y: 43, gateway: 'shuibei-uitd-01', condition: 'active', handling: 'new', suppression: 'none', quality: 'ok', value: null, unit: null,
    limit: null, count: 1, opened_at: 1_000, active_since: 1_000, last_seen_at: 1_000, cleared_at: null, acknowledged_by: null, acknowledged_at: null,
    ack_deadline: null, verdict: null, note: null, closed_by: null, closed_at: null, device_at: null, measured_at: null, received_at: null,
    raised_at: 1_000, is_test: false, members: [], updated_at: 1_000, announce: true, inhibited_by: null, verified_by: null, verified_at: null,
    is_latched: true,
    runbook: { cause: '', consequence: '', response: '', respond_within_s: 60, cause_en: '', consequence_en: '', response_en: '' }, ...change,
  }
}

/** The same numbers every run: a small generator (mulberry32), seeded. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
