/** The siren of this page and what the page says about it. */
import { defineStore } from 'pinia'
import { computed, ref, watch } from 'vue'
import type { Priority } from '@/shared/api/types'
import { Siren, type SoundState } from '@/shared/sound/siren'
import { useClockStore } from './clock'

export const MUTE_S = 60

export const useSoundStore = defineStore('sound', () => {
  const clock = useClockStore()
  const siren = new Siren({ makeContext: () => new AudioContext(), now: () => performance.now() })
  const state = ref<SoundState>('blocked')
  const mutedFor = ref(0)
  const isSounding = ref(false)

  function look(): void {
    state.value = siren.state
    mutedFor.value = siren.mutedFor
    isSounding.value = siren.isSounding
  }
  // The context can be suspended again behind our back (device change, sleep), so it is looked at every second.
  watch(() => clock.mono, look)

  async function arm(): Promise<void> {
    await siren.arm()
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
    look()
  }

  function unmute(): void {
    siren.unmute()
    look()
  }

  async function test(): Promise<void> {
    await arm()
    siren.test(1)
  }

  const isMuted = computed(() => mutedFor.value > 0)
  return { state, mutedFor, isMuted, isSounding, arm, require, lost, mute, unmute, test }
})
