/**
 * How every page has to look: nobody is kept out, in light and in dark, and a telephone shows all of it.
 *
 * Rejected: a part of chromium.ts, which programs outside of the test runner use too.
 */
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import { findBarriers } from './chromium.ts'

/**
 * Nothing of the page keeps anybody out, in light and in dark, and it fits a telephone. The dark has the same elements in other
 * colours. `part` is a selector of what a state adds to a page that is looked at as a whole in another state.
 */
export async function expectGoodLooks(page: Page, part?: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    expect(await findBarriers(page, colorScheme === 'light' ? 'all' : 'colours', part), colorScheme).toEqual([])
  }
  const before = page.viewportSize()
  await page.setViewportSize({ width: 360, height: 780 })
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
  if (before) await page.setViewportSize(before)
}
