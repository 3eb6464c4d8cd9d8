import { expect, test } from 'vitest'
import { compareAlerts, countByPriority, groupOf, matches, soundingPriority } from '@/shared/feed/order'
import { alert } from './alert'

test('unacknowledged first, then active acknowledged, then returned unacknowledged, then the rest', () => {
  const list = [
    alert({ id: 'test', is_test: true }),
    alert({ id: 'finishing', handling: 'verified', condition: 'normal' }),
    alert({ id: 'returned', condition: 'normal' }),
    alert({ id: 'active', handling: 'acknowledged' }),
    alert({ id: 'new-p3', priority: 3 }),
    alert({ id: 'new-p1-old', opened_at: 10 }),
    alert({ id: 'new-p1-young', opened_at: 20 }),
    alert({ id: 'new-p2', priority: 2 }),
  ]
  expect(list.sort(compareAlerts).map((one) => one.id)).toEqual(['new-p1-young', 'new-p1-old', 'new-p2', 'new-p3', 'active', 'returned', 'finishing', 'test'])
})

test('equal alerts never swap places', () => {
  expect(compareAlerts(alert({ id: 'a' }), alert({ id: 'b' }))).toBe(-1)
  expect(compareAlerts(alert({ id: 'a' }), alert({ id: 'a' }))).toBe(0)
})

test('the siren follows the most urgent alert nobody has taken over, also one that returned by itself', () => {
  expect(soundingPriority([])).toBeNull()
  expect(soundingPriority([alert({ id: 'a', priority: 4 })])).toBeNull()
  expect(soundingPriority([alert({ id: 'a', priority: 3 }), alert({ id: 'b', priority: 2 })])).toBe(2)
  expect(soundingPriority([alert({ id: 'a', condition: 'normal' })])).toBe(1)
  expect(soundingPriority([alert({ id: 'a', handling: 'acknowledged' })])).toBeNull()
})

test('what is suppressed, a test, or not to be announced makes no sound', () => {
  const quiet = [alert({ id: 'a', suppression: 'shelved' }), alert({ id: 'b', is_test: true }), alert({ id: 'c', announce: false })]
  expect(soundingPriority(quiet)).toBeNull()
  expect(quiet.map(groupOf)).toEqual(['suppressed', 'suppressed', 'unacknowledged'])
})

test('counts leave suppressed alerts out', () => {
  const counts = countByPriority([alert({ id: 'a' }), alert({ id: 'b', handling: 'verified' }), alert({ id: 'c', suppression: 'maintenance' })])
  expect(counts[1]).toEqual({ open: 2, waiting: 1 })
})

test('a search finds parts of either language, of ids and of several fields at once', () => {
  const one = alert({ id: 'a' })
  expect(matches(one, '')).toBe(true)
  expect(matches(one, '川菜')).toBe(true)
  expect(matches(one, 'sichuan smoke-001 P1')).toBe(true)
  expect(matches(one, '川菜 燃气')).toBe(false)
})
