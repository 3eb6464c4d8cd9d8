/** Language and theme, kept in this browser. */
import { defineStore } from 'pinia'
import { ref, watch } from 'vue'
import { i18n, LANGUAGES, type Language } from '@/shared/i18n'

export type Theme = 'light' | 'dark'

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // A locked-down kiosk may forbid storage; the choice then lasts as long as the page.
  }
}

export const usePrefsStore = defineStore('prefs', () => {
  const language = ref<Language>(LANGUAGES.find((name) => name === stored('linli.language')) ?? 'zh-CN')
  const theme = ref<Theme>(stored('linli.theme') === 'dark' ? 'dark' : 'light')

  watch(
    language,
    (value) => {
      i18n.global.locale.value = value
      document.documentElement.lang = value
      store('linli.language', value)
    },
    { immediate: true },
  )
  watch(
    theme,
    (value) => {
      document.documentElement.dataset['theme'] = value
      document.documentElement.classList.toggle('dark', value === 'dark')
      store('linli.theme', value)
    },
    { immediate: true },
  )

  return { language, theme }
})
