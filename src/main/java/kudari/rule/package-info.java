/**
 * What each optimizer computes: one immutable record per rule. Pure arithmetic over floats; nothing here knows of engines, memory or
 * threads. {@link kudari.rule.Rule} says what the records have in common.
 */
package kudari.rule;
