/** One workspace, one page per front door; `dist/` is served by the cloud service and is never committed. */
import vue from '@vitejs/plugin-vue'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  root: here('./'),
  base: '/',
  plugins: [vue()],
  define: { __VUE_I18N_LEGACY_API__: 'false', __INTLIFY_PROD_DEVTOOLS__: 'false', __VUE_OPTIONS_API__: 'true' },
  resolve: { alias: { '@': here('./src') } },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    chunkSizeWarningLimit: 800,
    rollupOptions: { input: { console: here('./console/index.html') } },
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8600' } },
  test: { environment: 'node', include: ['tests/unit/**/*.test.ts'] },
})
