/** Languages and times of the screens: Chinese first; always Shenzhen's clock, wherever the browser stands. */
import { createI18n } from 'vue-i18n'
import { en } from './en'
import { zh } from './zh'

export type Language = 'zh-CN' | 'en'
export const LANGUAGES: readonly Language[] = ['zh-CN', 'en']
const ZONE = 'Asia/Shanghai'

export const i18n = createI18n({
  legacy: false,
  locale: 'zh-CN' as Language,
  fallbackLocale: 'zh-CN',
  messages: { 'zh-CN': zh, en },
})

const dayFormat = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, year: 'numeric', month: '2-digit', day: '2-digit' })
const clockFormat = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** HH:MM:SS. */
export const clock = (at: number): string => clockFormat.format(at)
/** HH:MM:SS.mmm, to compare hops. */
export const clockMs = (at: number): string => `${clockFormat.format(at)}.${String(Math.floor(at) % 1000).padStart(3, '0')}`
/** YYYY-MM-DD. */
export const day = (at: number): string => dayFormat.format(at)
/** MM-DD HH:MM, for charts and older times. */
export const shortTime = (at: number): string => `${day(at).slice(5)} ${clock(at).slice(0, 5)}`

/** The unit and number a duration is told in: one unit, rounded down, so a number never runs ahead. */
export function span(ms: number): { unit: 's' | 'm' | 'h' | 'd'; n: number } {
  const s = Math.max(0, Math.floor(ms / 1000))
  if (s < 100) return { unit: 's', n: s }
  if (s < 6_000) return { unit: 'm', n: Math.floor(s / 60) }
  if (s < 172_800) return { unit: 'h', n: Math.floor(s / 3600) }
  return { unit: 'd', n: Math.floor(s / 86_400) }
}
