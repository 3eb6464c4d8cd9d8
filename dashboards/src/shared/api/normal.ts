/** Makes empty texts of texts the server leaves null, so that no screen has to ask twice. */
import type { Alert, AlertDetail, Priority, RawAlert, RawAlertDetail } from './types'

export function normalAlert(alert: RawAlertDetail): AlertDetail
export function normalAlert(alert: RawAlert): Alert
export function normalAlert(alert: RawAlert): Alert {
  return {
    ...alert,
    priority: alert.priority as Priority,
    device: alert.device ?? '',
    device_kind: alert.device_kind ?? '',
    device_name: alert.device_name ?? '',
    place: alert.place ?? '',
    place_name_zh: alert.place_name_zh ?? '',
    place_name_en: alert.place_name_en ?? '',
    gateway: alert.gateway ?? '',
  }
}
