package kudari.test;

import kudari.rule.Rule;

/** As whoever brings a rule writes it. */
class AddSignTest extends RuleLaws {

    @Override
    protected Rule rule() {
        return new AddSign(0.01, 0.9, 0, 0);
    }
}
