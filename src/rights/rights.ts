import { presenceBaseOf } from "../core/presence-stream.ts";
import type { Action, Resource } from "./action.ts";
import type { Matcher, Pattern, Subject } from "./pattern.ts";
import type { Rule } from "./rule.ts";

/** The rights of a caller. The whole service decides by this interface alone. */
export interface Rights {
  /**
   * The first rule that allows an action; undefined when none does.
   *
   * A resource without an item is the whole group, so only rules for all items allow it. Likewise,
   * only rules for all groups allow a whole stream, and only rules for all streams everything.
   *
   * The presence of a group is part of the group as a whole, whichever of its items is meant.
   */
  allowing(action: Action, resource: Resource): Rule | undefined;
  /** Whether some rule is about the action, whatever its patterns. */
  mayAllow(action: Action): boolean;
}

/**
 * The rights that rules give to a caller. Rules only add rights, so their order never changes what
 * is allowed.
 *
 * Make them once per caller: a pattern resolves its placeholders when it is first needed, and the
 * result is kept. A caller whose rules have no placeholders costs next to nothing.
 */
export function rightsOf(rules: readonly Rule[], subject: Subject): Rights {
  /** By their text: rules often share a pattern, such as `{user}`. */
  let resolved: Map<string, Matcher> | undefined;

  function resolve(pattern: Pattern): Matcher {
    resolved ??= new Map();
    let matcher = resolved.get(pattern.text);
    if (matcher === undefined) resolved.set(pattern.text, (matcher = pattern.bind(subject)));
    return matcher;
  }

  function matches(pattern: Pattern, name: string | undefined): boolean {
    return (pattern.hasPlaceholders ? resolve(pattern) : pattern.bind(subject))(name);
  }

  return {
    mayAllow: (action) => rules.some(({ actions }) => actions.has(action)),
    allowing(action, resource) {
      const { stream, group, item } = ofBase(resource);
      for (const rule of rules) {
        if (
          rule.actions.has(action) &&
          matches(rule.stream, stream) &&
          matches(rule.group, group) &&
          matches(rule.item, item)
        )
          return rule;
      }
      return undefined;
    },
  };
}

/** The resource that decides: that of the stream whose presence is meant, or the same. */
function ofBase(resource: Resource): Resource {
  const { stream, group } = resource;
  const base = stream === undefined ? undefined : presenceBaseOf(stream);
  return base === undefined ? resource : { stream: base, group };
}
