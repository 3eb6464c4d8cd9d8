/** Names buildings on the plan without covering a building, a mark or another name. Pure. */

export interface Block {
  readonly path: string
  readonly text: string
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
  readonly isHot: boolean
  /** Lower is named first. */
  readonly rank: number
}

export interface Label {
  readonly path: string
  readonly text: string
  readonly x: number
  readonly y: number
  readonly isHot: boolean
  readonly isInside: boolean
}

interface Area {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

const WIDE_PX = 11.5
const NARROW_PX = 6.4
const widthOf = (text: string): number => [...text].reduce((sum, sign) => sum + (sign > '\u2e80' ? WIDE_PX : NARROW_PX), 0)
const meet = (a: Area, b: Area): boolean => a.right >= b.left && a.left <= b.right && a.bottom >= b.top && a.top <= b.bottom
const areaOf = (block: Block): Area => ({ left: block.left, right: block.left + block.width, top: block.top, bottom: block.top + block.height })

/** Where a hot building's mark stands, with its count. */
const markOf = (block: Block): Area => ({ left: block.left + block.width - 12, right: block.left + block.width + 20, top: block.top - 13, bottom: block.top + 15 })

/** The house number, which is what people call a building on its street. */
export const shortName = (text: string): string => /\d+号/.exec(text)?.[0] ?? /\d+/.exec(text)?.[0] ?? ''

/** The whole name below its building where there is room, else the house number inside it. */
export function planLabels(blocks: readonly Block[]): Label[] {
  const taken: Area[] = blocks.filter((block) => block.isHot).map(markOf)
  return [...blocks]
    .sort((a, b) => a.rank - b.rank)
    .flatMap((block): Label[] => {
      const x = block.left + block.width / 2
      const half = widthOf(block.text) / 2
      const y = block.top + block.height + 12
      const below: Area = { left: x - half - 2, right: x + half + 2, top: y - 9, bottom: y + 3 }
      const isFree = taken.every((other) => !meet(below, other)) && blocks.every((other) => other === block || !meet(below, areaOf(other)))
      if (isFree) {
        taken.push(below)
        return [{ path: block.path, text: block.text, x, y, isHot: block.isHot, isInside: false }]
      }
      const short = shortName(block.text)
      if (!short || widthOf(short) > block.width) return []
      return [{ path: block.path, text: short, x, y: block.top + block.height - 5, isHot: block.isHot, isInside: true }]
    })
}
