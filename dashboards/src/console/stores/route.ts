/** Where in the console we are: `#/`, `#/devices`, `#/devices/ID`, `#/pipeline`; links can be sent and bookmarked. */
import { defineStore } from 'pinia'
import { ref } from 'vue'

export interface Route {
  page: 'duty' | 'devices' | 'pipeline'
  id: string | null
}

export function parseRoute(hash: string): Route {
  const [page, id] = hash.replace(/^#\/?/, '').split('/')
  if (page === 'devices') return { page, id: id ? decodeURIComponent(id) : null }
  if (page === 'pipeline') return { page, id: null }
  return { page: 'duty', id: page === 'alerts' && id ? decodeURIComponent(id) : null }
}

export const useRouteStore = defineStore('route', () => {
  const route = ref(parseRoute(location.hash))
  addEventListener('hashchange', () => {
    route.value = parseRoute(location.hash)
  })
  return { route }
})
