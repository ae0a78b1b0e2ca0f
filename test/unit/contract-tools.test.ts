/**
 * The contracts as the tools of others read them: two public linters of OpenAPI, one of which many pipelines run, and the parser of
 * AsyncAPI. Their recommended rules hold without an exception, warnings included. And every field that they name is snake_case.
 */
import { Parser } from '@asyncapi/parser'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import spectral from '@stoplight/spectral-core'
import { oas } from '@stoplight/spectral-rulesets'
import { expect, test } from 'vitest'
import { httpContract, VERSION } from '../../engine/server/routes/routes.ts'
import { asyncApi } from '../../engine/wire/async-api.ts'

/** What Redocly says of a document, a line a problem. */
async function redoclyOn(document: object): Promise<readonly string[]> {
  const config = await createConfig({ extends: ['recommended-strict'] })
  const source = JSON.stringify(document)
  const problems = await lintFromString({ source, absoluteRef: '/openapi.json', config })
  return problems.map(({ ruleId, message, location: [at] }) => `${ruleId}: ${message} at ${at?.pointer}`)
}

async function spectralOn(document: object): Promise<readonly string[]> {
  const linter = new spectral.Spectral()
  linter.setRuleset({ extends: [[oas, 'recommended']] } as Parameters<typeof linter.setRuleset>[0])
  const found = await linter.run(JSON.stringify(document))
  return found.map(({ code, message, path }) => `${code}: ${message} at ${path.join('/')}`)
}

/** The parser's errors and warnings; what is behind them is advice. */
const WARNING = 1
async function asyncApiOn(document: object): Promise<readonly string[]> {
  const { diagnostics } = await new Parser().parse(JSON.stringify(document))
  return diagnostics.filter(({ severity }) => severity <= WARNING).map(({ code, message }) => `${code}: ${message}`)
}

/** A small document that breaks rules of both linters. */
const PLANTED = {
  openapi: '3.1.0',
  info: { title: 'p', version: '1' },
  paths: { '/v1/rounds': { get: { responses: {} } } },
}

/** The names of fields in a document, wherever a schema has any. */
function fieldsIn(part: unknown): readonly string[] {
  if (typeof part !== 'object' || part === null) return []
  const { properties } = part as { properties?: object }
  return [...Object.keys(properties ?? {}), ...Object.values(part).flatMap(fieldsIn)]
}

test('every field that the contracts name is snake_case', () => {
  const names = [httpContract(), asyncApi(VERSION)].flatMap(fieldsIn)
  expect(names.length).toBeGreaterThan(300)
  expect(names.filter(name => !/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name))).toEqual([])
})

test('/openapi.json passes Redocly', async () => {
  expect(await redoclyOn(httpContract())).toEqual([])
  expect((await redoclyOn(PLANTED)).length).toBeGreaterThan(2)
})

test('/openapi.json passes Spectral', async () => {
  expect(await spectralOn(httpContract())).toEqual([])
  expect((await spectralOn(PLANTED)).length).toBeGreaterThan(2)
})

test('/asyncapi.json passes its parser', async () => {
  expect(await asyncApiOn(asyncApi(VERSION))).toEqual([])
  expect(
    await asyncApiOn({ asyncapi: '3.0.0', info: { title: 'p', version: '1' }, channels: { stream: { address: 1 } } }),
  ).not.toEqual([])
})
