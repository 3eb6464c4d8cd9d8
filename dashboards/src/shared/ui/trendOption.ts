/** Turns a series into what ECharts draws. Pure. */
import type { Series, SeriesPoint } from '@/shared/api/types'
import { clock, day, shortTime } from '@/shared/i18n'
import { number } from './names'

export interface TrendLook {
  colour(name: string): string
  font: string
  unit: string
  limit: number | null
  isSmall: boolean
  isBand: boolean
  words: { mean: string; low: string; high: string; raw: string; limit: string }
}

/** Put a null between points that lie further apart than three usual steps: no line over a time without data. */
export function withGaps(points: readonly SeriesPoint[]): SeriesPoint[] {
  const steps = points.slice(1).map((point, index) => point[0] - (points[index]?.[0] ?? 0))
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0
  return points.flatMap((point, index) => {
    const before = points[index - 1]
    const isGap = before !== undefined && usual > 0 && point[0] - before[0] > 3 * usual
    return isGap ? [[before[0] + 1, null, null, null] as SeriesPoint, point] : [point]
  })
}

/** Give the ECharts option; times on the axis are Shenzhen's. */
export function trendOption(series: Series, look: TrendLook): Record<string, unknown> {
  const points = withGaps(series.points)
  const text = { color: look.colour('ink-3'), fontFamily: look.font, fontSize: look.isSmall ? 11 : 12 }
  const isSpread = points.some((point) => point[1] !== point[3])
  return {
    animation: false,
    textStyle: { fontFamily: look.font },
    aria: { enabled: false },
    grid: { left: look.isSmall ? 38 : 56, right: look.isSmall ? 10 : 24, top: look.isSmall ? 12 : 34, bottom: look.isSmall ? 20 : 30 },
    tooltip: {
      trigger: 'axis',
      confine: true,
      backgroundColor: look.colour('raised'),
      borderColor: look.colour('line-strong'),
      textStyle: { color: look.colour('ink'), fontFamily: look.font, fontSize: 13 },
      axisPointer: { lineStyle: { color: look.colour('line-strong') } },
      formatter: (items: { dataIndex: number; seriesName: string }[]) => tip(points[items[0]?.dataIndex ?? -1], look),
    },
    xAxis: {
      type: 'time',
      min: series.start,
      max: series.end,
      axisLine: { lineStyle: { color: look.colour('line-strong') } },
      axisLabel: { ...text, hideOverlap: true, formatter: (at: number) => (look.isBand ? day(at).slice(5) : clock(at).slice(0, 5)) },
      splitNumber: look.isSmall ? 4 : 8,
    },
    yAxis: {
      type: 'value',
      scale: true,
      name: look.isSmall ? '' : look.unit,
      nameTextStyle: { ...text, align: 'right' },
      splitNumber: look.isSmall ? 2 : 5,
      axisLabel: { ...text, formatter: (value: number) => number(value) },
      splitLine: { lineStyle: { color: look.colour('line') } },
      ...(look.limit === null ? {} : { ...withLimit(look.limit) }),
    },
    dataZoom: look.isSmall ? [] : [{ type: 'inside', filterMode: 'none' }],
    series: [...(isSpread ? band(points, look) : []), line(points, look)],
  }
}

/** Make room for the limit and its label, on round numbers. */
function withLimit(limit: number): Record<string, unknown> {
  const step = (span: number): number => 10 ** Math.floor(Math.log10(Math.max(span, 1e-6)))
  return {
    max: (range: { min: number; max: number }) => {
      const top = Math.max(range.max, limit)
      const unit = step(top - Math.min(range.min, limit))
      return Math.ceil((top + 0.12 * (top - Math.min(range.min, limit))) / unit) * unit
    },
    min: (range: { min: number; max: number }) => {
      const bottom = Math.min(range.min, limit)
      const unit = step(Math.max(range.max, limit) - bottom)
      return Math.floor(bottom / unit) * unit
    },
  }
}

function tip(point: SeriesPoint | undefined, look: TrendLook): string {
  if (!point || point[2] === null) return ''
  const rows =
    point[1] === point[3]
      ? [[look.words.raw, point[2]] as const]
      : [[look.words.high, point[3]] as const, [look.words.mean, point[2]] as const, [look.words.low, point[1]] as const]
  return `${look.isBand ? shortTime(point[0]) : clock(point[0])}<br>${rows.map(([word, value]) => `${word} <b>${number(value)}</b> ${look.unit}`).join('<br>')}`
}

/** The band between lowest and highest: an unseen line, and the difference stacked on it. */
function band(points: readonly SeriesPoint[], look: TrendLook): Record<string, unknown>[] {
  const hidden = { type: 'line', stack: 'band', stackStrategy: 'all', symbol: 'none', lineStyle: { opacity: 0 }, silent: true }
  return [
    { ...hidden, name: look.words.low, data: points.map((point) => [point[0], point[1]]) },
    {
      ...hidden,
      name: look.words.high,
      // A peak of a second is what the chart is opened for: its edge is drawn, not only shaded.
      lineStyle: { width: 1, color: look.colour('trend'), opacity: 0.55 },
      areaStyle: { color: look.colour('trend-band') },
      data: points.map((point) => [point[0], point[1] === null || point[3] === null ? null : point[3] - point[1]]),
    },
  ]
}

function line(points: readonly SeriesPoint[], look: TrendLook): Record<string, unknown> {
  return {
    type: 'line',
    name: look.words.mean,
    data: points.map((point) => [point[0], point[2]]),
    connectNulls: false,
    symbol: 'none',
    lineStyle: { width: look.isSmall ? 1.4 : 1.6, color: look.colour('trend') },
    itemStyle: { color: look.colour('trend') },
    ...(look.limit === null
      ? {}
      : {
          markLine: {
            silent: true,
            symbol: 'none',
            lineStyle: { color: look.colour('p1-text'), type: 'dashed' },
            label: { formatter: `${look.words.limit} ${number(look.limit)}`, position: 'insideEndTop', color: look.colour('p1-text'), fontFamily: look.font, fontSize: 11 },
            data: [{ yAxis: look.limit }],
          },
        }),
  }
}
