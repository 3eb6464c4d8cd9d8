import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Siren } from '@/shared/sound/siren'

/** Enough of an AudioContext to count the tones; like a browser's, it stays suspended until somebody resumes it. */
class FakeContext {
  state: AudioContextState = 'suspended'
  currentTime = 0
  tones = 0
  destination = {}
  async resume(): Promise<void> {
    this.state = 'running'
  }
  createGain(): object {
    return { gain: { setValueAtTime: vi.fn(), linearRampToValueAtTime: vi.fn() }, connect: vi.fn(), disconnect: vi.fn() }
  }
  createOscillator(): object {
    this.tones += 1
    return { frequency: { value: 0 }, type: '', connect: vi.fn(), start: vi.fn(), stop: vi.fn() }
  }
}

let context: FakeContext
let siren: Siren
beforeEach(() => {
  vi.useFakeTimers()
  context = new FakeContext()
  siren = new Siren({ makeContext: () => context as unknown as AudioContext, now: () => Date.now() })
})
afterEach(() => {
  siren.stop()
  vi.useRealTimers()
})

test('it says that it is blocked until somebody has touched the page, and then sounds at once', async () => {
  siren.require(1, true)
  vi.advanceTimersByTime(10_000)
  expect([siren.state, context.tones]).toEqual(['blocked', 0])
  await siren.arm()
  expect(siren.state).toBe('ready')
  expect(context.tones).toBeGreaterThan(0)
})

test('it loops until nothing waits any more', async () => {
  await siren.arm()
  siren.require(1, true)
  const once = context.tones
  vi.advanceTimersByTime(20_000)
  expect(context.tones).toBeGreaterThan(5 * once)
  siren.require(null, false)
  const silent = context.tones
  vi.advanceTimersByTime(20_000)
  expect(context.tones).toBe(silent)
})

test('a mute ends by itself after its minute', async () => {
  await siren.arm()
  siren.require(1, true)
  siren.mute(60)
  const muted = context.tones
  vi.advanceTimersByTime(59_000)
  expect(context.tones).toBe(muted)
  vi.advanceTimersByTime(5_000)
  expect(context.tones).toBeGreaterThan(muted)
})

test('a new fire, or anything worse, ends a mute', async () => {
  await siren.arm()
  siren.require(2, true)
  siren.mute(60)
  siren.require(2, true)
  expect(siren.isMuted).toBe(true)
  siren.require(1, true)
  expect(siren.isMuted).toBe(false)
  siren.mute(60)
  siren.require(1, true)
  expect(siren.isMuted).toBe(false)
})

test('a lost connection sounds, but never covers an alert', async () => {
  await siren.arm()
  siren.lost(true)
  expect(siren.isSounding).toBe(true)
  siren.require(1, true)
  const before = context.tones
  vi.advanceTimersByTime(6_000)
  expect(context.tones - before).toBeGreaterThan(12)
})

test('a browser without sound says so', async () => {
  const deaf = new Siren({
    makeContext: () => {
      throw new Error('no audio device')
    },
    now: () => Date.now(),
  })
  expect(await deaf.arm()).toBe('unavailable')
})
