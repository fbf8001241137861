//! The declarative layer: what a section is, and the macros that make one out of a few lines.

use crate::values::Faults;
use toml::Spanned;
use toml::de::DeValue;

/// One key, as the checker and the example file see it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name in the file, kebab-case.
    pub name: &'static str,
    /// What it means, one string a line.
    pub doc: &'static [&'static str],
    /// The default, or what a value may look like, as TOML.
    pub example: &'static str,
    /// True if the value must not be shown.
    pub secret: bool,
}

/// One section, as the checker, the slices and the example file see it.
#[derive(Debug, Clone, Copy)]
pub struct SectionInfo {
    /// Name in the file.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static [&'static str],
    /// The daemons that get it.
    pub readers: &'static [&'static str],
    /// Its keys in the order of the example file.
    pub keys: &'static [Key],
}

/// What `section!` writes for a section.
pub(crate) trait Section: Default {
    /// The section described as data.
    const INFO: SectionInfo;
    /// Takes one key's value. `None`: there is no such key.
    fn set(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Result<(), Faults>>;
    /// Appends `key = value` lines of everything that is set.
    fn write(&self, out: &mut String);
}

/// Declares a section: doc, type and name, the daemons that read it, and its keys, each with doc, field,
/// name, type, default and example.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        $type:ident $name:literal for [$($reader:literal),*] {
            $(
                $(#[doc = $key_doc:literal])*
                $field:ident $key:literal: $value:ty = $default:expr, like $example:literal;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $type {
            $( $(#[doc = $key_doc])* pub $field: $value, )*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::schema::Section for $type {
            const INFO: $crate::SectionInfo = $crate::SectionInfo {
                name: $name,
                doc: &[$($doc),*],
                readers: &[$($reader),*],
                keys: &[$( $crate::Key {
                    name: $key,
                    doc: &[$($key_doc),*],
                    example: $example,
                    secret: <$value as $crate::values::Value>::SECRET,
                }, )*],
            };

            fn set(
                &mut self,
                key: &str,
                value: &toml::Spanned<toml::de::DeValue<'_>>,
            ) -> Option<Result<(), $crate::values::Faults>> {
                match key {
                    $( $key => Some($crate::values::Value::read(value).map(|v| self.$field = v)), )*
                    _ => None,
                }
            }

            fn write(&self, out: &mut String) {
                $( if let Some(value) = $crate::values::Value::write(&self.$field) {
                    out.push_str(concat!($key, " = "));
                    out.push_str(&value);
                    out.push('\n');
                } )*
            }
        }
    };
}
pub(crate) use section;

/// Declares the file: every section's field and type.
macro_rules! sections {
    ($($field:ident: $type:ident),* $(,)?) => {
        /// A whole, valid configuration.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Config {
            $(
                #[doc = concat!("The section `", stringify!($field), "`.")]
                pub $field: $type,
            )*
        }

        /// Every section there is, in the order of the example file.
        pub const SECTIONS: &[$crate::SectionInfo] =
            &[$( <$type as $crate::schema::Section>::INFO ),*];

        impl Config {
            /// Takes one key's value. `None`: there is no such section or key.
            pub(crate) fn set(
                &mut self,
                section: &str,
                key: &str,
                value: &toml::Spanned<toml::de::DeValue<'_>>,
            ) -> Option<Result<(), $crate::values::Faults>> {
                $( if section == <$type as $crate::schema::Section>::INFO.name {
                    return $crate::schema::Section::set(&mut self.$field, key, value);
                } )*
                None
            }

            /// Appends the sections that `wanted` picks, as TOML.
            pub(crate) fn write(&self, wanted: impl Fn(&$crate::SectionInfo) -> bool, out: &mut String) {
                $( if wanted(&<$type as $crate::schema::Section>::INFO) {
                    out.push_str(&format!("[{}]\n", <$type as $crate::schema::Section>::INFO.name));
                    $crate::schema::Section::write(&self.$field, out);
                } )*
            }
        }
    };
}
pub(crate) use sections;
