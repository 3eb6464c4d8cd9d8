import { expect, test } from 'vitest'
import { planLabels, shortName, type Block } from '@/shared/map/labels'

const block = (path: string, left: number, top: number, change: Partial<Block> = {}): Block => ({ path, text: '水贝一街1号', left, top, width: 50, height: 40, isHot: false, rank: 9, ...change })

test('a building is named below itself where there is room', () => {
  expect(planLabels([block('a', 100, 100)])).toEqual([{ path: 'a', text: '水贝一街1号', x: 125, y: 152, isHot: false, isInside: false }])
})

test('where there is none the house number stands inside, and the more urgent keeps its name', () => {
  const found = planLabels([block('calm', 40, 100), block('hot', 95, 100, { rank: 1 })])
  expect(found.map((one) => [one.path, one.isInside])).toEqual([['hot', false], ['calm', true]])
})

test('no name covers a building or the mark of a hot one', () => {
  expect(planLabels([block('a', 100, 100), block('below', 100, 145)])[0]?.isInside).toBe(true)
  expect(planLabels([block('a', 100, 100), block('hot', 60, 160, { isHot: true })]).find((one) => one.path === 'a')?.isInside).toBe(true)
})

test('the house number is what people say', () => {
  expect(['水贝一街11号', '3 Shuibei 2nd St', '幼儿园'].map(shortName)).toEqual(['11号', '3', ''])
})
