import { expect, test } from 'vitest'
import { clock, day, span } from '@/shared/i18n'
import { en } from '@/shared/i18n/en'
import { zh } from '@/shared/i18n/zh'
import { VERDICTS } from '@/shared/api/types'
import { number } from '@/shared/ui/names'
import { withGaps } from '@/shared/ui/trendOption'
import { parseRoute } from '@/console/stores/route'

type Tree = { [key: string]: string | Tree }
const flat = (tree: Tree, path = ''): [string, string][] =>
  Object.entries(tree).flatMap(([key, value]) => (typeof value === 'string' ? [[path + key, value] as [string, string]] : flat(value, `${path}${key}.`)))
const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1] ?? '').sort()

test('both languages have the same keys with the same holes', () => {
  const english = new Map(flat(en as unknown as Tree))
  const chinese = flat(zh as unknown as Tree)
  expect([...english.keys()].sort()).toEqual(chinese.map(([key]) => key).sort())
  for (const [key, text] of chinese) expect(holes(english.get(key) ?? ''), key).toEqual(holes(text))
})

test('no text holds an emoji: bare kiosks draw boxes for them', () => {
  const all = [...flat(zh as unknown as Tree), ...flat(en as unknown as Tree)].map(([, text]) => text).join('')
  expect(all).not.toMatch(/\p{Extended_Pictographic}/u)
})

test('every verdict has a name', () => {
  expect(Object.keys(zh.verdict).sort()).toEqual([...VERDICTS].sort())
})

test('times are those of Shenzhen wherever the browser stands', () => {
  const at = Date.UTC(2026, 0, 1, 16, 30, 5)
  expect([day(at), clock(at)]).toEqual(['2026-01-02', '00:30:05'])
})

test('a span is rounded down and never negative', () => {
  expect(span(-5_000)).toEqual({ unit: 's', n: 0 })
  expect(span(99_999)).toEqual({ unit: 's', n: 99 })
  expect(span(119_999)).toEqual({ unit: 'm', n: 1 })
  expect(span(3 * 86_400_000)).toEqual({ unit: 'd', n: 3 })
})

test('numbers carry as many digits as they deserve, and a missing value is no zero', () => {
  expect([null, 0, 26.4, 320.82, 0.613, 12_345.6, Number.NaN].map(number)).toEqual(['–', '0', '26.4', '320.8', '0.61', '12346', '–'])
})

test('a time without data stays a gap in the curve', () => {
  expect(withGaps([[0, 1, 1, 1], [10, 1, 1, 1], [20, 1, 1, 1], [90, 1, 1, 1]])[3]).toEqual([21, null, null, null])
  expect(withGaps([[0, 1, 1, 1], [10, 1, 1, 1]])).toHaveLength(2)
})

test('addresses name a page and at most one thing', () => {
  expect(parseRoute('')).toEqual({ page: 'duty', id: null })
  expect(parseRoute('#/alerts/a%2Fb')).toEqual({ page: 'duty', id: 'a/b' })
  expect(parseRoute('#/devices/shuibei-gas-001')).toEqual({ page: 'devices', id: 'shuibei-gas-001' })
  expect(parseRoute('#/nonsense')).toEqual({ page: 'duty', id: null })
})
