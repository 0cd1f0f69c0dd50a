package kudari.rule;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Says whose rule a factory makes: with that library's defaults and conventions, but for the learning rate, which it takes. A factory may be that of
 * several.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
@Repeatable(Preset.All.class)
public @interface Preset {

    /** The library. */
    Peer peer();

    /** Its default learning rate; NaN where it has none. */
    double lr() default Double.NaN;

    /** Several of them. */
    @Documented
    @Retention(RetentionPolicy.RUNTIME)
    @Target(ElementType.METHOD)
    @interface All {

        /** Which. */
        Preset[] value();
    }
}
