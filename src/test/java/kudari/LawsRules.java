package kudari;

import java.util.stream.Stream;
import kudari.rule.Rule;

/** The rules of {@link LawsTest}, for tests of other packages. */
public final class LawsRules {

    private LawsRules() {}

    static Stream<Rule> all() {
        return LawsTest.rules();
    }
}
