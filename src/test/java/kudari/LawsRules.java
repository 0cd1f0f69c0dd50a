package kudari;

import java.util.stream.Stream;
import kudari.rule.Rule;
import kudari.rule.ScheduleFreeAdamW;
import kudari.rule.ScheduleFreeSgd;

/** The rules of {@link LawsTest}, for tests of other packages. */
public final class LawsRules {

    private LawsRules() {}

    static Stream<Rule> all() {
        return LawsTest.rules();
    }

    /** Whether {@link Rule} says of it that decoupled decay is in its update. */
    public static boolean decaysInside(Rule rule) {
        return rule instanceof ScheduleFreeSgd || rule instanceof ScheduleFreeAdamW;
    }
}
