/** What lies over the page; while something does, the page's keys rest. */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { useSessionStore } from './session'

export const useOverlayStore = defineStore('overlay', () => {
  const session = useSessionStore()
  const isHelp = ref(false)
  const isAccount = ref(false)
  /** The password somebody else gave out must be replaced before anything is handled. */
  const isForced = computed(() => session.session?.must_change_password === true && !session.isExpired)
  const isAny = computed(() => isHelp.value || isAccount.value || isForced.value)
  return { isHelp, isAccount, isForced, isAny }
})
