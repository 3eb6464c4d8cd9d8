/** One second hand for the whole page, corrected to the server's clock by the beats. */
import { defineStore } from 'pinia'
import { ref } from 'vue'

export const useClockStore = defineStore('clock', () => {
  /** Server time, Unix ms. */
  const now = ref(Date.now())
  /** Monotonic ms, for everything about the connection. */
  const mono = ref(performance.now())
  let skew = 0

  function tick(): void {
    now.value = Date.now() + skew
    mono.value = performance.now()
  }

  function serverSays(at: number): void {
    skew = at - Date.now()
    tick()
  }

  setInterval(tick, 1000)
  return { now, mono, tick, serverSays }
})
