/** Of Grafana's model, what is read here. */
export interface DashboardModel {
  readonly panels: readonly {
    readonly type: string;
    readonly title?: string;
    readonly description?: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: {
    readonly list?: readonly { readonly name: string; readonly query?: unknown }[];
  };
}

/** A query, and the panel that it is of; those of variables are of `variables`. */
export interface DashboardQuery {
  readonly panel: string;
  readonly query: string;
  /** Of a variable: the label of which it wants the values. */
  readonly label?: string;
}

/** Every query of a dashboard. */
export function dashboardQueries({ panels, templating }: DashboardModel): DashboardQuery[] {
  const ofVariables = (templating.list ?? []).flatMap(({ query }) => {
    const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(String(query)) ?? [];
    return selector === undefined ? [] : [{ panel: 'variables', query: selector, label }];
  });
  return [
    ...ofVariables,
    ...panels.flatMap(({ title = '', targets = [] }) =>
      targets.map(({ expr }) => ({ panel: title, query: expr })),
    ),
  ];
}
