/** Chooses the language of names that the server sends in two, and writes values with as many digits as they deserve. */
import type { Language } from '@/shared/i18n'

export interface TwoNames {
  place_name_zh: string
  place_name_en: string
  place: string
}

export const placeName = (of: TwoNames, language: Language): string =>
  (language === 'zh-CN' ? of.place_name_zh || of.place_name_en : of.place_name_en || of.place_name_zh) || of.place

/** What people call a device; the name of a bus is its port, which says nothing to anybody, so it goes by its id. */
export const deviceName = (of: { kind: string; id: string; name: string }): string => (of.kind === 'line' ? of.id : of.name || of.id)

export const titleOf = (of: { title_zh: string; title_en: string }, language: Language): string =>
  language === 'zh-CN' ? of.title_zh || of.title_en : of.title_en || of.title_zh

/** At most three digits after the point, fewer for large numbers; a missing value is a dash, never a zero. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–'
  const size = Math.abs(value)
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 1 : 2
  return value.toFixed(digits).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')
}

/** The unit as people write it. */
export function unitName(unit: string | null | undefined): string {
  return unit === 'pct' || unit === 'percent' ? '%' : unit === '%LEL' || unit === 'lel_pct' ? '%LEL' : (unit ?? '')
}
