/** Whether the page with the keys is shown. */
import { defineStore } from 'pinia'
import { ref } from 'vue'

export const useHelpStore = defineStore('help', () => ({ isOpen: ref(false) }))
