/** The shape every language must have: that of the Chinese texts. */
import type { zh } from './zh'

export type Messages = typeof zh
