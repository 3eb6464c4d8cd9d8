/** The shapes the screens read, named for people; the shapes themselves come from the API's own description. */
import type { components } from './schema'

type Schemas = components['schemas']

export type Priority = 1 | 2 | 3 | 4
export type Condition = Schemas['Phase']
export type Handling = Schemas['Handling']
export type Quality = Schemas['Trust']
export type Verdict = Schemas['Verdict']

/** In the order of the digits that choose them. */
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
] as const satisfies readonly Verdict[]

/** What the server may leave null and `normalAlert` makes an empty text. */
type Texts = 'device' | 'device_kind' | 'device_name' | 'place' | 'place_name_zh' | 'place_name_en' | 'gateway'
type Normal<T> = Omit<T, Texts | 'priority'> & { [name in Texts]: string } & { priority: Priority }

export type RawAlert = Schemas['AlertView']
export type RawAlertDetail = Schemas['AlertDetail']
export type Alert = Normal<RawAlert>
export type AlertDetail = Normal<RawAlertDetail>
export type HistoryLine = Schemas['HistoryLine']

/** Open alerts as of journal number `seq`. */
export interface AlertPage {
  epoch: number
  seq: number
  alerts: Alert[]
}
export type RawAlertPage = Schemas['AlertPage']

export type Session = Schemas['SessionView']

/** The one word of lists; the worst of the three facts, `unknown` when they do not suffice. */
export type Liveness = Schemas['Liveness']
export type DeviceRow = Schemas['DeviceView']
export type DeviceList = Schemas['DeviceList']
export type DeviceDetail = Schemas['DeviceDetail']
export type Metric = Schemas['MetricView']

/** One bucket of a chart: start (ms), lowest, mean, highest. */
export type SeriesPoint = [number, number | null, number | null, number | null]
export type Series = Omit<Schemas['SeriesView'], 'points'> & { points: SeriesPoint[] }

export type Place = Schemas['PlaceView']
export type Site = Schemas['SiteView']
export type Places = Schemas['PlaceList']
export type EdgeRow = Schemas['EdgeView']
export type Rejection = Schemas['RejectionView']
export type Overview = Schemas['OverviewView']
export type Receipt = Schemas['ReceiptView']
