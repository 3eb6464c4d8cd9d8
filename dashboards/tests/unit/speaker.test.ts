import { expect, test } from 'vitest'
import { Speaker } from '@/shared/sound/speaker'

/** The browser's lock: one holder, the others wait in their order. */
class Locks {
  private holder: (() => Promise<void>) | null = null
  private waiting: (() => Promise<void>)[] = []
  request = ((_name: string, options: { signal: AbortSignal }, held: () => Promise<void>) => {
    const mine = (): Promise<void> => held()
    options.signal.addEventListener('abort', () => (this.waiting = this.waiting.filter((one) => one !== mine)))
    this.waiting.push(mine)
    this.next()
    return Promise.resolve()
  }) as unknown as LockManager['request']
  query = (): Promise<LockManagerSnapshot> => Promise.resolve({ held: this.holder ? [{ name: 'linli.siren' }] : [], pending: [] })

  private next(): void {
    if (this.holder) return
    this.holder = this.waiting.shift() ?? null
    void this.holder?.().then(() => {
      this.holder = null
      this.next()
    })
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))
const windows = (): [Speaker, Speaker] => {
  const locks = new Locks()
  return [new Speaker({ locks, onChange: () => undefined }), new Speaker({ locks, onChange: () => undefined })]
}

test('of two windows one sounds, and the other takes over when it goes', async () => {
  const [first, second] = windows()
  first.want(true)
  second.want(true)
  expect([first.isMine, second.isMine]).toEqual([true, false])
  expect(await second.isTaken()).toBe(true)
  first.want(false)
  await settle()
  expect([first.isMine, second.isMine]).toEqual([false, true])
})

test('a window that cannot sound does not keep the lock from one that can', async () => {
  const [first, second] = windows()
  first.want(true)
  second.want(true)
  second.want(false)
  first.want(false)
  await settle()
  expect([first.isMine, second.isMine, await first.isTaken()]).toEqual([false, false, false])
})

test('asking every second asks once', async () => {
  const [first, second] = windows()
  first.want(true)
  for (let again = 0; again < 5; again += 1) second.want(true)
  first.want(false)
  await settle()
  second.want(false)
  await settle()
  expect([second.isMine, await second.isTaken()]).toEqual([false, false])
})

test('where the browser knows no locks every window sounds', async () => {
  const alone = new Speaker({ locks: undefined, onChange: () => undefined })
  expect([alone.isMine, await alone.isTaken()]).toEqual([true, false])
})
