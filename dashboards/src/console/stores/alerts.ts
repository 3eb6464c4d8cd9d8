/** The open alerts as the feed and the snapshots tell them, and the commands people give. */
import { defineStore } from 'pinia'
import { computed, ref, shallowRef } from 'vue'
import { api, ApiError } from '@/shared/api/client'
import type { Alert, AlertPage, Verdict } from '@/shared/api/types'
import { FeedClient } from '@/shared/feed/client'
import { initialState, SILENCE_MS, type FeedState } from '@/shared/feed/machine'
import { emptyPicture, mergeAlert, mergeSnapshot, openAlerts } from '@/shared/feed/merge'
import { compareAlerts, countByPriority, soundingPriority } from '@/shared/feed/order'
import { useClockStore } from './clock'
import { useSessionStore } from './session'
import { useSoundStore } from './sound'

/** What became of a command: done, overtaken by somebody else (with the present state), refused, or not delivered. */
export type Outcome =
  | { kind: 'done'; alert: Alert }
  | { kind: 'conflict'; alert: Alert | null; why: string; isOvertaken: boolean }
  | { kind: 'forbidden' }
  | { kind: 'failed'; why: string }

const isLost = (state: FeedState): boolean => state.phase === 'stale' || state.phase === 'expired'

export const useAlertsStore = defineStore('alerts', () => {
  const clock = useClockStore()
  const session = useSessionStore()
  const sound = useSoundStore()

  const picture = shallowRef(emptyPicture)
  const feed = shallowRef<FeedState>(initialState)
  /** Server time at which the picture was last known to be true. */
  const trueAt = ref<number | null>(null)
  const isLoaded = ref(false)

  const open = computed(() => openAlerts(picture.value).sort(compareAlerts))
  const counts = computed(() => countByPriority(open.value))
  const isTrue = computed(() => feed.value.phase === 'live')
  /** Whole seconds since the last byte, counting up; null before the first. */
  const beatAge = computed(() => (feed.value.byteAt === null ? null : Math.max(0, Math.floor((clock.mono - feed.value.byteAt) / 1000))))

  const client = new FeedClient({
    now: () => performance.now(),
    openStream: (url) => new EventSource(url, { withCredentials: true }),
    fetchSnapshot: api.openAlerts,
    isSignedIn: session.isSignedIn,
    sendDisplayed: api.displayed,
    onAlert: take,
    onSnapshot: takeSnapshot,
    onNotice: (kind) => notices.forEach((listen) => listen(kind)),
    onServerTime: (now) => clock.serverSays(now),
    onState: takeState,
    // Tests wait for blindness often, and set it shorter before the page loads.
    silenceMs: (globalThis as { linliSilenceMs?: number }).linliSilenceMs ?? SILENCE_MS,
  })
  const notices = new Set<(kind: 'device' | 'edge') => void>()

  function take(alert: Alert): void {
    const isNew = !picture.value.alerts.has(alert.id)
    picture.value = mergeAlert(picture.value, alert)
    ring(isNew && alert.priority === 1 && alert.handling === 'new' && !alert.is_test)
    receipt()
  }

  function takeSnapshot(page: AlertPage): void {
    const known = picture.value.alerts
    const isNew = page.alerts.some((alert) => alert.priority === 1 && alert.handling === 'new' && !known.has(alert.id))
    picture.value = mergeSnapshot(picture.value, page)
    isLoaded.value = true
    ring(isNew)
    receipt()
  }

  function takeState(state: FeedState): void {
    const wasLost = isLost(feed.value)
    feed.value = state
    // True when the last byte came, not until it was noticed that none came.
    if (state.phase === 'live' && state.byteAt !== null) trueAt.value = clock.now - Math.max(0, clock.mono - state.byteAt)
    session.isExpired = state.phase === 'expired'
    if (wasLost !== isLost(state)) sound.lost(!wasLost)
  }

  function ring(isNew: boolean): void {
    sound.require(soundingPriority(open.value), isNew)
  }

  /** Tell the server once the browser has really painted it; a hidden tab shows nothing to anybody. */
  function receipt(): void {
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (document.visibilityState === 'visible') client.displayed(feed.value.seq)
      }),
    )
  }

  /** A failed command is never repeated by itself: the person sees the present state and decides. */
  async function command(id: string, send: () => Promise<Alert>): Promise<Outcome> {
    try {
      const alert = await send()
      take(alert)
      return { kind: 'done', alert }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.status === 401) {
        client.signedOut()
        return { kind: 'failed', why: error.message }
      }
      if (error.status === 403) return { kind: 'forbidden' }
      if (error.status === 409 || error.status === 404) {
        const present = await api.alert(id).catch(() => null)
        const before = picture.value.alerts.get(id)
        if (present) take(present)
        return { kind: 'conflict', alert: present, why: `${error.message}. ${error.hint}`, isOvertaken: present?.handling !== before?.handling }
      }
      return { kind: 'failed', why: error.message || error.code }
    }
  }

  const acknowledge = (id: string): Promise<Outcome> => command(id, () => api.acknowledge(id))
  const verify = (id: string, verdict: Verdict, note: string): Promise<Outcome> => command(id, () => api.verify(id, verdict, note))
  const close = (id: string, verdict: Verdict | null, note: string): Promise<Outcome> => command(id, () => api.close(id, verdict, note))

  const comment = (id: string, note: string): Promise<Outcome> => command(id, () => api.comment(id, note))

  function start(): void {
    sound.duty(true)
    client.start()
  }

  function stop(): void {
    client.stop()
    sound.duty(false)
    sound.require(null, false)
    sound.lost(false)
    picture.value = emptyPicture
    isLoaded.value = false
  }

  function signedIn(): void {
    client.signedIn()
    windows.postMessage('signed_in')
  }
  // The cookie is one for all windows of a browser: where somebody signs in again, all go on.
  const windows = new BroadcastChannel('linli.session')
  windows.onmessage = () => {
    if (feed.value.phase === 'expired') client.signedIn()
  }

  function onNotice(listen: (kind: 'device' | 'edge') => void): () => void {
    notices.add(listen)
    return () => notices.delete(listen)
  }

  return { open, counts, feed, trueAt, isLoaded, isTrue, beatAge, acknowledge, verify, close, comment, start, stop, signedIn, onNotice }
})
