/** The community's plan. */
import { defineStore } from 'pinia'
import { ref, shallowRef } from 'vue'
import { api } from '@/shared/api/client'
import type { Place, Site } from '@/shared/api/types'

export const usePlacesStore = defineStore('places', () => {
  const site = ref<Site | null>(null)
  const places = shallowRef<Place[]>([])

  async function load(): Promise<void> {
    try {
      const answer = await api.places()
      site.value = answer.site
      places.value = answer.places
    } catch {
      // Without a plan the list still tells everything; the plan says that it is missing.
    }
  }

  return { site, places, load }
})
