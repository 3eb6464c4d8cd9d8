/** The parts of ECharts we draw with; imported only when a chart is shown. */
import { LineChart } from 'echarts/charts'
import { AriaComponent, DataZoomInsideComponent, GridComponent, MarkLineComponent, TooltipComponent } from 'echarts/components'
import * as core from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

core.use([LineChart, GridComponent, TooltipComponent, MarkLineComponent, DataZoomInsideComponent, AriaComponent, SVGRenderer])

export const init = core.init
export type Chart = core.EChartsType
