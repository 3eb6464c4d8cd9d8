/** The order of the duty list (IEC 62682 states): unacknowledged, active acknowledged, returned unacknowledged, the rest. Pure. */
import type { Alert, Priority } from '@/shared/api/types'

export const GROUPS = ['unacknowledged', 'active', 'returned', 'finishing', 'suppressed'] as const
export type Group = (typeof GROUPS)[number]

/** Where an alert belongs; what is suppressed or a test is shown last and never sounds. */
export function groupOf(alert: Alert): Group {
  if (alert.suppression !== 'none' || alert.is_test) return 'suppressed'
  const isOver = alert.condition === 'normal'
  if (alert.handling === 'new') return isOver ? 'returned' : 'unacknowledged'
  return isOver ? 'finishing' : 'active'
}

/** Group, then priority, then newest first, then id, so that equal times never swap places. */
export function compareAlerts(a: Alert, b: Alert): number {
  return (
    GROUPS.indexOf(groupOf(a)) - GROUPS.indexOf(groupOf(b)) ||
    a.priority - b.priority ||
    b.opened_at - a.opened_at ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  )
}

/** The most urgent priority that must sound: new, not suppressed, P1 to P3; null when all is taken over. */
export function soundingPriority(alerts: readonly Alert[]): Priority | null {
  let found: Priority | null = null
  for (const alert of alerts) {
    const isWaiting = alert.handling === 'new' && alert.announce && groupOf(alert) !== 'suppressed'
    if (isWaiting && alert.priority < 4 && (found === null || alert.priority < found)) found = alert.priority
  }
  return found
}

/** How many open alerts each priority has, suppressed ones left out; `waiting` are the unacknowledged among them. */
export function countByPriority(alerts: readonly Alert[]): Record<Priority, { open: number; waiting: number }> {
  const counts = { 1: { open: 0, waiting: 0 }, 2: { open: 0, waiting: 0 }, 3: { open: 0, waiting: 0 }, 4: { open: 0, waiting: 0 } }
  for (const alert of alerts) {
    if (groupOf(alert) === 'suppressed') continue
    counts[alert.priority].open += 1
    if (alert.handling === 'new') counts[alert.priority].waiting += 1
  }
  return counts
}

/** Whether every word of the query occurs in what a person may remember of the alert. */
export function matches(alert: Alert, query: string): boolean {
  const text = [
    alert.title_zh,
    alert.title_en,
    alert.device,
    alert.device_name,
    alert.place,
    alert.place_name_zh,
    alert.place_name_en,
    alert.gateway ?? '',
    `p${alert.priority}`,
  ]
    .join(' ')
    .toLowerCase()
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}
