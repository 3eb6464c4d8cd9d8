/** One line at a time about what was just done; undo where that does no harm. */
import { defineStore } from 'pinia'
import { ref } from 'vue'

export interface Toast {
  text: string
  isBad: boolean
  undo: (() => void) | null
}

const SHOWN_MS = 6_000

export const useToastStore = defineStore('toast', () => {
  const toast = ref<Toast | null>(null)
  let timer: ReturnType<typeof setTimeout> | undefined

  function show(text: string, options: { isBad?: boolean; undo?: () => void } = {}): void {
    toast.value = { text, isBad: options.isBad ?? false, undo: options.undo ?? null }
    clearTimeout(timer)
    timer = setTimeout(clear, options.isBad ? SHOWN_MS * 2 : SHOWN_MS)
  }

  function clear(): void {
    toast.value = null
  }

  return { toast, show, clear }
})
