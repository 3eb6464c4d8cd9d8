/** The duty console. */
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import 'element-plus/theme-chalk/base.css'
import 'element-plus/theme-chalk/el-dialog.css'
import 'element-plus/theme-chalk/el-overlay.css'
import 'element-plus/theme-chalk/el-input.css'
import '@/shared/tokens/tokens.css'
import '@/shared/tokens/base.css'
import { i18n } from '@/shared/i18n'
import App from './App.vue'

createApp(App).use(createPinia()).use(i18n).mount('#app')
