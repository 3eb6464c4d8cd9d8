/** The shapes the screens read; times are Unix milliseconds, unknown is null. */

export type Priority = 1 | 2 | 3 | 4
export type Condition = 'normal' | 'pending' | 'active' | 'clearing'
export type Handling = 'new' | 'acknowledged' | 'verified' | 'closed'
export type Quality = 'ok' | 'flapping' | 'stale' | 'late' | 'unconfirmed'

export const VERDICTS = [
  'real_fire',
  'real_leak',
  'real_other',
  'false_cooking',
  'false_smoking',
  'false_steam_insects',
  'device_fault',
  'test',
  'drill',
  'unverifiable',
] as const
export type Verdict = (typeof VERDICTS)[number]

export interface Runbook {
  cause?: string | null
  consequence?: string | null
  response?: string | null
  respond_within_s?: number | null
  cause_en?: string | null
  consequence_en?: string | null
  response_en?: string | null
}

export interface Alert {
  id: string
  seq: number
  rule: string
  priority: Priority
  title_zh: string
  title_en: string
  device: string
  device_kind: string
  device_name: string
  place: string
  place_name_zh: string
  place_name_en: string
  x: number | null
  y: number | null
  gateway: string | null
  condition: Condition
  handling: Handling
  suppression: string
  quality: Quality
  value: number | null
  unit: string | null
  limit: number | null
  count: number
  opened_at: number
  active_since: number | null
  last_seen_at: number | null
  cleared_at: number | null
  acknowledged_by: string | null
  acknowledged_at: number | null
  ack_deadline: number | null
  verdict: Verdict | null
  note: string | null
  closed_by: string | null
  closed_at: number | null
  device_at: number | null
  measured_at: number | null
  received_at: number | null
  raised_at: number | null
  is_test: boolean
  /** Whether screens may sound for it; missing means yes. */
  announce?: boolean
  members: string[]
  runbook: Runbook | null
  updated_at: number
}

export interface HistoryEntry {
  at: number
  who: string | null
  what: string
  why?: string | null
}

export interface RecentVerdict {
  verdict: Verdict
  at: number
  by: string | null
}

export interface AlertDetail extends Alert {
  history: HistoryEntry[]
  recent_verdicts: RecentVerdict[]
}

export interface AlertPage {
  epoch: number
  seq: number
  alerts: Alert[]
  next: string | null
}

export interface Session {
  username: string
  name: string
  role: 'duty' | 'supervisor' | 'installer' | 'admin'
}

export interface Metric {
  metric: string
  unit: string | null
  value: number | null
  measured_at: number | null
  received_at: number | null
  quality: number
  low: number | null
  high: number | null
}

/** The one word of lists; the worst of the three facts, `unknown` when they do not suffice. */
export type Liveness = 'live' | 'stale' | 'down' | 'unknown'
export type ValueState = 'fresh' | 'stale' | 'unknown' | 'none'
export type LinkState = 'up' | 'down' | 'unknown'

export interface DeviceRow {
  id: string
  kind: string
  name: string
  place: string
  place_name_zh: string
  place_name_en: string
  gateway: string
  edge: string
  model: string
  period_s: number
  liveness: Liveness
  /** First fact: how old its newest value is. */
  value: { state: ValueState; measured_at: number | null }
  /** Second fact: the link with the whole way to the device; `via` names what is broken on the way. */
  link: { state: LinkState; since: number | null; reason: string; via: string }
  /** Third fact: when it last proved itself. */
  self_test: { at: number | null; ok: boolean | null }
}

export interface DevicePage {
  devices: DeviceRow[]
  next: string | null
}

export interface DeviceDetail extends DeviceRow {
  metrics: Metric[]
  alerts: Alert[]
}

/** One bucket of a chart: start (ms), lowest, mean, highest. */
export type SeriesPoint = [number, number | null, number | null, number | null]

export interface Series {
  metric: string
  unit: string | null
  start: number
  end: number
  resolution: string
  points: SeriesPoint[]
}

export interface Place {
  path: string
  kind: string
  name_zh: string
  name_en: string
  x: number | null
  y: number | null
  width: number | null
  depth: number | null
  floors: number | null
}

export interface Site {
  id: string
  name_zh: string
  name_en: string
  width_m: number
  depth_m: number
}

export interface Places {
  site: Site | null
  places: Place[]
}

export interface EdgeRow {
  id: string
  name: string
  online: boolean
  since: number | null
  devices: number
  software: string | null
  last_received_at: number | null
}

export interface Rejection {
  reason: string
  sender: string
  count: number
  last_at: number
  example: string | null
}

export interface Overview {
  devices: number
  silent: number
  faults: number
  ingest_alive_at: number | null
}
