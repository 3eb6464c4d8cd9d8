/** Makes texts of texts the server leaves out, so that no screen has to ask twice. */
import type { Alert } from './types'

const TEXTS = ['device', 'device_kind', 'device_name', 'place', 'place_name_zh', 'place_name_en', 'gateway'] as const

export function normalAlert<T extends Alert>(alert: T): T {
  const made = { ...alert, members: alert.members ?? [], suppression: alert.suppression ?? 'none' }
  for (const name of TEXTS) made[name] = made[name] ?? ''
  return made
}
