/** Who sits at the desk. */
import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { api, ApiError } from '@/shared/api/client'
import type { Session } from '@/shared/api/types'

export const useSessionStore = defineStore('session', () => {
  const session = ref<Session | null>(null)
  const isKnown = ref(false)
  const isExpired = ref(false)
  const mayHandle = computed(() => ['duty', 'supervisor', 'admin'].includes(session.value?.role ?? ''))

  async function restore(): Promise<void> {
    try {
      session.value = await api.session()
    } catch {
      session.value = null
    }
    isKnown.value = true
  }

  /** Tell whether the server still knows us; an unreachable server proves nothing and counts as yes. */
  async function isSignedIn(): Promise<boolean> {
    try {
      await api.session()
      return true
    } catch (error) {
      return !(error instanceof ApiError && error.status === 401)
    }
  }

  async function signIn(username: string, password: string): Promise<void> {
    session.value = await api.signIn(username, password)
  }

  async function changePassword(old: string, fresh: string): Promise<void> {
    session.value = await api.changePassword(old, fresh)
  }

  async function signOut(): Promise<void> {
    await api.signOut().catch(() => undefined)
    session.value = null
    isExpired.value = false
  }

  return { session, isKnown, isExpired, mayHandle, restore, isSignedIn, signIn, changePassword, signOut }
})
