/**
 * Tests of rules of one's own: {@link kudari.test.RuleLaws}. It needs JUnit Jupiter, 5.0 or later, which whoever writes such a test has, and which the
 * library brings to nobody.
 */
package kudari.test;
