/** Makes an alert's history readable: newest first, repeats folded, a mere new value left out. Pure. */
import type { HistoryLine, Verdict } from '@/shared/api/types'

export interface Step {
  readonly what: string
  /** Null: the system. */
  readonly who: string | null
  readonly at: number
  /** The last of several equal lines; `at` when there was one. */
  readonly until: number
  readonly times: number
  /** What a person wrote; the system's reasons are for logs. */
  readonly note: string
  readonly verdict: Verdict | null
  readonly isByPerson: boolean
}

const SILENT = new Set(['value'])
const WITH_VERDICT = new Set(['verified', 'closed'])
/** Lines of these kinds say nothing new the second time. */
const FOLDED = new Set(['repeated', 'members_changed', 'flapping', 'calm'])

export function timelineOf(lines: readonly HistoryLine[]): Step[] {
  const steps: Step[] = []
  for (const line of lines) {
    if (SILENT.has(line.what)) continue
    const last = steps.at(-1)
    if (last && last.what === line.what && FOLDED.has(line.what)) {
      steps[steps.length - 1] = { ...last, until: line.at, times: last.times + 1 }
      continue
    }
    const isByPerson = line.who !== '' && line.who !== 'system'
    const verdict = WITH_VERDICT.has(line.what) ? ((line.state['verdict'] as Verdict | null | undefined) ?? null) : null
    steps.push({ what: line.what, who: isByPerson ? line.who : null, at: line.at, until: line.at, times: 1, note: isByPerson ? line.why : '', verdict, isByPerson })
  }
  return steps.reverse()
}
