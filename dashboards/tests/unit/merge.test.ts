import { expect, test } from 'vitest'
import type { Alert } from '@/shared/api/types'
import { CLOSED_KEPT, emptyPicture, mergeAlert, mergeSnapshot, openAlerts, type Picture } from '@/shared/feed/merge'
import { alert, seeded } from './alert'

const EPOCH = 7
const start = (...alerts: Alert[]): Picture => mergeSnapshot(emptyPicture, { epoch: EPOCH, seq: 0, alerts })
const view = (picture: Picture): string[] => openAlerts(picture).map((one) => `${one.id}@${one.seq}`).sort()

test('the same alert twice changes nothing', () => {
  const once = mergeAlert(start(), alert({ id: 'a', seq: 3 }))
  expect(mergeAlert(once, alert({ id: 'a', seq: 3 }))).toBe(once)
})

test('an older state never overwrites a newer one', () => {
  const picture = mergeAlert(start(), alert({ id: 'a', seq: 5, handling: 'acknowledged' }))
  expect(mergeAlert(picture, alert({ id: 'a', seq: 4 })).alerts.get('a')?.handling).toBe('acknowledged')
})

test('a late snapshot does not bring a closed alert back', () => {
  const picture = mergeAlert(start(), alert({ id: 'a', seq: 9, handling: 'closed' }))
  const late = mergeSnapshot(picture, { epoch: EPOCH, seq: 6, alerts: [alert({ id: 'a', seq: 5 })] })
  expect(view(late)).toEqual([])
})

test('a snapshot keeps an alert that is newer than itself', () => {
  const picture = mergeAlert(start(), alert({ id: 'b', seq: 12 }))
  expect(view(mergeSnapshot(picture, { epoch: EPOCH, seq: 11, alerts: [] }))).toEqual(['b@12'])
})

test('an alert that closed while we were blind goes with the next snapshot', () => {
  const picture = mergeAlert(start(), alert({ id: 'a', seq: 3 }))
  expect(view(mergeSnapshot(picture, { epoch: EPOCH, seq: 8, alerts: [] }))).toEqual([])
})

test('another epoch replaces everything, whatever the numbers', () => {
  const picture = mergeAlert(start(), alert({ id: 'a', seq: 900 }))
  expect(view(mergeSnapshot(picture, { epoch: EPOCH + 1, seq: 2, alerts: [alert({ id: 'b', seq: 1 })] }))).toEqual(['b@1'])
})

test('alerts that another alert explains are not listed', () => {
  expect(view(start(alert({ id: 'a', suppression: 'inhibited' }), alert({ id: 'b', suppression: 'maintenance' })))).toEqual(['b@1'])
})

test('closed alerts are remembered in a bounded number', () => {
  const many = Array.from({ length: CLOSED_KEPT + 1 }, (_, index) => alert({ id: `a${index}`, seq: index + 1, handling: 'closed' as const }))
  const picture = mergeSnapshot(emptyPicture, { epoch: EPOCH, seq: CLOSED_KEPT + 1, alerts: many })
  expect(mergeAlert(picture, alert({ id: 'z', seq: CLOSED_KEPT + 2 })).alerts.size).toBe(CLOSED_KEPT + 1)
})

test.each([1, 2, 3, 4, 5, 6, 7, 8])('any order, with repeats and a snapshot anywhere, ends in the same picture (seed %i)', (seed) => {
  const random = seeded(seed)
  const history: Alert[] = []
  const latest = new Map<string, Alert>()
  for (let seq = 1; seq <= 120; seq += 1) {
    const id = `a${Math.floor(random() * 15)}`
    if (latest.get(id)?.handling === 'closed') continue
    const handling = random() < 0.2 ? 'closed' : random() < 0.5 ? 'acknowledged' : 'new'
    const made = alert({ id, seq, handling })
    history.push(made)
    latest.set(id, made)
  }
  const truth = [...latest.values()].filter((one) => one.handling !== 'closed').map((one) => `${one.id}@${one.seq}`).sort()
  const shuffled = [...history, ...history].map((one) => ({ one, key: random() })).sort((a, b) => a.key - b.key).map(({ one }) => one)
  const at = Math.floor(random() * shuffled.length)
  let picture = start()
  for (const [index, one] of shuffled.entries()) {
    picture = mergeAlert(picture, one)
    if (index !== at) continue
    const seq = 60
    const then = new Map(history.filter((entry) => entry.seq <= seq).map((entry) => [entry.id, entry]))
    picture = mergeSnapshot(picture, { epoch: EPOCH, seq, alerts: [...then.values()].filter((entry) => entry.handling !== 'closed') })
  }
  // What the snapshot dropped as closed may return only by a repeat of an old event, which the stream never sends after it.
  picture = mergeSnapshot(picture, { epoch: EPOCH, seq: 120, alerts: [...latest.values()].filter((entry) => entry.handling !== 'closed') })
  expect(view(picture)).toEqual(truth)
})
