import { expect, test } from 'vitest'
import type { HistoryLine } from '@/shared/api/types'
import { timelineOf } from '@/shared/feed/timeline'

const line = (at: number, what: string, change: Partial<HistoryLine> = {}): HistoryLine => ({ number: at, at, who: 'system', what, why: '', state: {}, digest: '', ...change })

test('the newest comes first, repeats are folded with their span, a mere value is left out', () => {
  const steps = timelineOf([line(1, 'raised'), line(2, 'repeated'), line(3, 'value'), line(4, 'repeated'), line(5, 'repeated'), line(6, 'cleared')])
  expect(steps.map((step) => [step.what, step.at, step.until, step.times])).toEqual([['cleared', 6, 6, 1], ['repeated', 2, 5, 3], ['raised', 1, 1, 1]])
})

test('what a person did carries the name, the words and the verdict; the reasons of the system stay in logs', () => {
  const [closed, lapsed, remark] = timelineOf([
    line(1, 'commented', { who: '张班长', why: '已到场' }),
    line(2, 'lapsed', { why: 'acknowledged by 张班长, no verdict in time' }),
    line(3, 'closed', { who: '张班长', state: { verdict: 'false_cooking' } }),
  ])
  expect([remark?.who, remark?.note, remark?.isByPerson]).toEqual(['张班长', '已到场', true])
  expect([lapsed?.who, lapsed?.note]).toEqual([null, ''])
  expect([closed?.verdict, closed?.who]).toEqual(['false_cooking', '张班长'])
})

test('two remarks stay two, also when nothing stands between them', () => {
  expect(timelineOf([line(1, 'commented', { who: 'a', why: 'x' }), line(2, 'commented', { who: 'a', why: 'x' })])).toHaveLength(2)
})
