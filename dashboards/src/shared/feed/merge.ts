/** Joins events and snapshots into one picture: the higher seq wins, so order, repeats and gaps do no harm. Pure. */
import type { Alert } from '@/shared/api/types'

/** Alerts by id; a closed alert stays as a mark, so that an old snapshot cannot bring it back. */
export interface Picture {
  readonly epoch: number | null
  readonly alerts: ReadonlyMap<string, Alert>
}

export interface Snapshot {
  readonly epoch: number
  /** Everything up to this number is reflected in `alerts`. */
  readonly seq: number
  readonly alerts: readonly Alert[]
}

/** How many closed alerts are remembered; far more than can close between two snapshots. */
export const CLOSED_KEPT = 2_000

export const emptyPicture: Picture = { epoch: null, alerts: new Map() }

/** Take in one alert; an equal or older one changes nothing and gives back the same picture. */
export function mergeAlert(picture: Picture, alert: Alert): Picture {
  const known = picture.alerts.get(alert.id)
  if (known && known.seq >= alert.seq) return picture
  const alerts = new Map(picture.alerts)
  alerts.set(alert.id, alert)
  return { ...picture, alerts: forgetOldest(alerts) }
}

/** Take in a snapshot of all open alerts; another epoch means another journal, so nothing known survives it. */
export function mergeSnapshot(picture: Picture, snapshot: Snapshot): Picture {
  const alerts = new Map<string, Alert>()
  const listed = new Set(snapshot.alerts.map((alert) => alert.id))
  if (picture.epoch === snapshot.epoch) {
    for (const [id, alert] of picture.alerts) {
      const goneWithoutUs = alert.handling !== 'closed' && !listed.has(id) && alert.seq <= snapshot.seq
      if (!goneWithoutUs) alerts.set(id, alert)
    }
  }
  for (const alert of snapshot.alerts) {
    const known = alerts.get(alert.id)
    if (!known || known.seq < alert.seq) alerts.set(alert.id, alert)
  }
  return { epoch: snapshot.epoch, alerts: forgetOldest(alerts) }
}

/** The alerts that still need somebody; those another alert explains stand behind it, as in the server's list. */
export function openAlerts(picture: Picture): Alert[] {
  return [...picture.alerts.values()].filter((alert) => alert.handling !== 'closed' && alert.suppression !== 'inhibited')
}

function forgetOldest(alerts: Map<string, Alert>): Map<string, Alert> {
  const closed = [...alerts.values()].filter((alert) => alert.handling === 'closed')
  if (closed.length > CLOSED_KEPT) {
    closed.sort((a, b) => a.seq - b.seq)
    for (const alert of closed.slice(0, closed.length - CLOSED_KEPT)) alerts.delete(alert.id)
  }
  return alerts
}
