import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const css = readFileSync(new URL('../../src/shared/tokens/tokens.css', import.meta.url), 'utf8')
const block = (start: string): Map<string, string> => {
  const from = css.indexOf(start)
  const body = css.slice(from, css.indexOf('}', from))
  return new Map([...body.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((found) => [found[1] ?? '', found[2] ?? '']))
}
const themes = { light: block(':root {'), dark: block(":root[data-theme='dark']") }

/** Relative luminance and contrast as WCAG 2.2 defines them. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
const contrast = (a: string, b: string): number => {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number]
  return (high + 0.05) / (low + 0.05)
}

const grounds = ['field', 'panel', 'raised', 'hover', 'chosen']
const texts = [
  ...['ink', 'ink-2', 'ink-3', 'p1-text', 'p2-text'].flatMap((ink) => grounds.map((ground) => [ink, ground])),
  ...[1, 2, 3, 4].map((p) => [`p${p}-ink`, `p${p}`]),
  ...['ink', 'ink-2', 'p1-text'].map((ink) => [ink, 'p1-tint']),
  ['button-ink', 'button'],
]
const shapes = [
  ...[1, 2, 3, 4].flatMap((p) => ['panel', 'raised', 'field'].map((ground) => [`p${p}-line`, ground])),
  ...['line-strong', 'focus', 'trend'].flatMap((line) => ['panel', 'raised', 'field'].map((ground) => [line, ground])),
]

for (const [name, theme] of Object.entries(themes)) {
  test.each(texts)(`${name}: text %s on %s reaches 4.5`, (ink, ground) => {
    expect(contrast(theme.get(ink!)!, theme.get(ground!)!)).toBeGreaterThanOrEqual(4.5)
  })
  test.each(shapes)(`${name}: shape %s on %s reaches 3`, (line, ground) => {
    expect(contrast(theme.get(line!)!, theme.get(ground!)!)).toBeGreaterThanOrEqual(3)
  })
}
