/** Calls the REST API: one time-out, one error class, the session cookie rides along. */
import { normalAlert } from './normal'
import type {
  AlertPage,
  DeviceDetail,
  DeviceList,
  DeviceRow,
  EdgeRow,
  Overview,
  Places,
  RawAlert,
  RawAlertDetail,
  RawAlertPage,
  Receipt,
  Rejection,
  Series,
  Session,
  Verdict,
} from './types'

const TIMEOUT_MS = 8_000
/** Far more pages than a community's open alerts can fill; a server that never ends must not hang the page. */
const PAGES_MAX = 40

/** The server said no, or could not be reached (`status` 0); `message` is for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message)
  }
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  let response: Response
  try {
    response = await fetch(`/api${path}`, {
      method,
      credentials: 'same-origin',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: body === undefined ? { Accept: 'application/json' } : { Accept: 'application/json', 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch {
    throw new ApiError(0, 'unreachable', '', '')
  }
  if (!response.ok) {
    const problem = (await response.json().catch(() => ({}))) as { code?: string; message?: string; hint?: string }
    throw new ApiError(response.status, problem.code ?? 'error', problem.message ?? response.statusText, problem.hint ?? '')
  }
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T)
}

function query(values: Record<string, string | number | null | undefined>): string {
  const wanted = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '')
  return wanted.length ? `?${new URLSearchParams(wanted.map(([key, value]) => [key, String(value)]))}` : ''
}

/** All open alerts with the number they reflect; the number is that of the first page, later pages can only be newer. */
async function openAlerts(): Promise<AlertPage> {
  const first = await call<RawAlertPage>('GET', '/alerts?state=open&limit=500')
  const alerts = [...first.alerts]
  let next = first.next
  for (let page = 1; next && page < PAGES_MAX; page += 1) {
    const more = await call<RawAlertPage>('GET', `/alerts${query({ state: 'open', limit: 500, before: next })}`)
    alerts.push(...more.alerts)
    next = more.next
  }
  return { epoch: first.epoch, seq: first.seq, alerts: alerts.map((alert) => normalAlert(alert)) }
}

async function allDevices(): Promise<DeviceRow[]> {
  const devices: DeviceRow[] = []
  let next: string | null = null
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const part: DeviceList = await call<DeviceList>('GET', `/devices${query({ limit: 500, before: next })}`)
    devices.push(...part.devices)
    next = part.next
    if (!next) break
  }
  return devices
}

const id = encodeURIComponent
/** This page's own name, so that two desks of one person are two screens. */
export const SCREEN = `console-${Math.random().toString(36).slice(2, 10)}`

export const api = {
  session: () => call<Session>('GET', '/session'),
  signIn: (username: string, password: string) => call<Session>('POST', '/session', { username, password }),
  signOut: () => call<void>('DELETE', '/session'),
  changePassword: (old: string, fresh: string) => call<Session>('POST', '/session/password', { old, new: fresh }),
  openAlerts,
  alert: (alert: string) => call<RawAlertDetail>('GET', `/alerts/${id(alert)}`).then((alert) => normalAlert(alert)),
  acknowledge: (alert: string) => call<RawAlert>('POST', `/alerts/${id(alert)}/acknowledge`, {}).then((alert) => normalAlert(alert)),
  verify: (alert: string, verdict: Verdict, note: string) =>
    call<RawAlert>('POST', `/alerts/${id(alert)}/verify`, { verdict, note: note || null }).then((alert) => normalAlert(alert)),
  close: (alert: string, verdict: Verdict | null, note: string) =>
    call<RawAlert>('POST', `/alerts/${id(alert)}/close`, { verdict, note: note || null }).then((alert) => normalAlert(alert)),
  comment: (alert: string, note: string) => call<RawAlert>('POST', `/alerts/${id(alert)}/comment`, { note }).then((alert) => normalAlert(alert)),
  members: (alert: string) => call<RawAlert[]>('GET', `/alerts/${id(alert)}/members`).then((found) => found.map((one) => normalAlert(one))),
  pastAlerts: (device: string) =>
    call<RawAlertPage>('GET', `/alerts${query({ state: 'all', device, suppressed: 'true', limit: 20 })}`).then((page) => page.alerts.map((one) => normalAlert(one))),
  displayed: (epoch: number, seq: number) => call<void>('POST', '/feed/displayed', { epoch, seq, screen: SCREEN }),
  devices: allDevices,
  device: (device: string) => call<DeviceDetail>('GET', `/devices/${id(device)}`),
  series: (device: string, metric: string, start: number, end: number, points: number) =>
    call<Series>('GET', `/devices/${id(device)}/series${query({ metric, start, end, points })}`),
  places: () => call<Places>('GET', '/places'),
  edges: () => call<{ edges: EdgeRow[] }>('GET', '/edges'),
  rejections: () => call<{ rejections: Rejection[] }>('GET', '/ingest/rejections'),
  receipts: () => call<{ receipts: Receipt[] }>('GET', '/feed/receipts'),
  overview: () => call<Overview>('GET', '/overview'),
}
