/** All devices of the community with their three facts; read anew when the feed says that something changed. */
import { defineStore } from 'pinia'
import { computed, ref, shallowRef, watch } from 'vue'
import { api } from '@/shared/api/client'
import type { DeviceRow } from '@/shared/api/types'
import { useAlertsStore } from './alerts'

const SOON_MS = 3_000
const REFRESH_MS = 30_000

export const useDevicesStore = defineStore('devices', () => {
  const alerts = useAlertsStore()
  const devices = shallowRef<DeviceRow[]>([])
  const isLoaded = ref(false)
  let timer: ReturnType<typeof setTimeout> | undefined
  let dueAt = Infinity

  /** How many are not live; null while unknown. */
  const odd = computed(() => (isLoaded.value ? devices.value.filter((device) => device.liveness !== 'live').length : null))

  async function load(): Promise<void> {
    try {
      devices.value = await api.devices()
      isLoaded.value = true
    } catch {
      // The connection bar already tells; the last known list stays and is read again below.
    }
    plan(REFRESH_MS)
  }

  /** Read again after `wait` ms at the latest; a storm of notices causes one reading, not many. */
  function plan(wait: number): void {
    const at = performance.now() + wait
    if (at >= dueAt && dueAt > performance.now()) return
    clearTimeout(timer)
    dueAt = at
    timer = setTimeout(() => {
      dueAt = Infinity
      void load()
    }, wait)
  }

  watch(
    () => alerts.isTrue,
    (isTrue) => isTrue && plan(0),
    { immediate: true },
  )
  alerts.onNotice(() => plan(SOON_MS))

  return { devices, isLoaded, odd, load }
})
