/** The siren of this page and what the page says about it; several windows of one browser sound as one. */
import { defineStore } from 'pinia'
import { computed, ref, watch } from 'vue'
import type { Priority } from '@/shared/api/types'
import { Siren, type SoundState } from '@/shared/sound/siren'
import { Speaker } from '@/shared/sound/speaker'
import { useClockStore } from './clock'

export const MUTE_S = 60

/** What windows of one browser tell each other. */
type Word = { kind: 'mute'; seconds: number } | { kind: 'unmute' }

export const useSoundStore = defineStore('sound', () => {
  const clock = useClockStore()
  const siren = new Siren({ makeContext: () => new AudioContext(), now: () => performance.now() })
  const speaker = new Speaker({ locks: navigator.locks, onChange: look })
  const windows = new BroadcastChannel('linli.sound')
  const state = ref<SoundState>('blocked')
  const mutedFor = ref(0)
  const isSounding = ref(false)
  /** Another window of this browser sounds for this one. */
  const isElsewhere = ref(false)
  let isOnDuty = false

  function look(): void {
    speaker.want(isOnDuty && siren.state === 'ready')
    siren.allow(speaker.isMine)
    state.value = siren.state
    mutedFor.value = siren.mutedFor
    isSounding.value = siren.isSounding
    void speaker.isTaken().then((isTaken) => {
      isElsewhere.value = isTaken && !speaker.isMine
    })
  }
  // The context can be suspended again behind our back (device change, sleep), so it is looked at every second.
  watch(() => clock.mono, look)
  windows.onmessage = (event: MessageEvent<Word>) => {
    if (event.data.kind === 'mute') siren.mute(event.data.seconds)
    else siren.unmute()
    look()
  }

  async function arm(): Promise<void> {
    await siren.arm()
    look()
  }

  /** Somebody is signed in here, or nobody is any more. */
  function duty(is: boolean): void {
    isOnDuty = is
    look()
  }

  function require(priority: Priority | null, isNew: boolean): void {
    siren.require(priority, isNew)
    look()
  }

  function lost(isLost: boolean): void {
    siren.lost(isLost)
    look()
  }

  function mute(): void {
    siren.mute(MUTE_S)
    windows.postMessage({ kind: 'mute', seconds: MUTE_S } satisfies Word)
    look()
  }

  function unmute(): void {
    siren.unmute()
    windows.postMessage({ kind: 'unmute' } satisfies Word)
    look()
  }

  async function test(): Promise<void> {
    await arm()
    siren.test(1)
  }

  const isMuted = computed(() => mutedFor.value > 0)
  /** This desk would be heard. */
  const isHeard = computed(() => state.value === 'ready' || isElsewhere.value)
  return { state, mutedFor, isMuted, isSounding, isElsewhere, isHeard, arm, duty, require, lost, mute, unmute, test }
})
